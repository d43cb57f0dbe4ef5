// SPDX-License-Identifier: GPL-2.0-only

//! The state of devices that other programs have open, from the driver's files in debugfs. Every
//! device that is bound to the driver has one; that of a device that is not open says so.

use crate::show::written;
use serde_json::{Map, Value};
use std::{
    collections::BTreeSet,
    io::{self, BufWriter, ErrorKind, Write},
    path::Path,
    thread,
    time::Duration,
};
use subregion_open::{Address, Failure};

const DEBUGFS: &str = "/sys/kernel/debug";
const DRIVERS: [&str; 2] = ["subregion_vfio_pci", "vfio-pci"];

/// A line of such a file: what it describes, and its values.
#[derive(Debug, PartialEq)]
struct Line {
    kind: String,
    values: Vec<(String, String)>,
}

impl Line {
    /// Splits `KIND NAME=VALUE ...`. The name of a thread (`comm`) ends a line and may have spaces.
    fn new(line: &str) -> Self {
        let (line, comm) = match line.split_once(" comm=") {
            Some((line, comm)) => (line, Some(comm)),
            None => (line, None),
        };
        let mut words = line.split(' ');
        let kind = words.next().unwrap_or_default().to_owned();
        let mut values: Vec<_> = words
            .filter_map(|word| word.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        values.extend(comm.map(|comm| ("comm".to_owned(), comm.to_owned())));
        Self { kind, values }
    }

    /// Numbers become numbers.
    fn as_json(&self) -> Value {
        let mut object = Map::new();
        object.insert("kind".into(), self.kind.clone().into());
        for (name, value) in &self.values {
            let number = match value.strip_prefix("0x") {
                Some(digits) => u64::from_str_radix(digits, 16).ok(),
                None => value.parse().ok(),
            };
            let value = number
                .filter(|_| name != "comm")
                .map_or_else(|| value.clone().into(), Value::from);
            object.insert(name.clone(), value);
        }
        object.into()
    }
}

/// Returns whether the file of a device says that the device is open.
fn is_open(text: &str) -> bool {
    text.lines().any(|line| Line::new(line).kind == "opened")
}

/// Reads the files of all open devices, or of `devices` among them.
fn read(devices: &[Address]) -> Result<Vec<(Address, String)>, Failure> {
    let mut found = Vec::new();
    let mut loaded = false;
    for driver in DRIVERS {
        let directory = Path::new(DEBUGFS).join(driver);
        let entries = match std::fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => {
                let path = directory.display();
                return Err(format!("{path}: {error}; only root can read it").into());
            }
        };
        loaded = true;
        for entry in entries {
            let entry = entry?;
            let address: Address = entry.file_name().to_string_lossy().parse()?;
            if !devices.is_empty() && !devices.contains(&address) {
                continue;
            }
            // The device may be unbound at any time.
            let text = std::fs::read_to_string(entry.path().join("state"));
            if let Some(text) = text.ok().filter(|text| is_open(text)) {
                found.push((address, text));
            }
        }
    }
    if !loaded {
        return Err(format!(
            "{DEBUGFS} has no files of the driver; load the driver, or mount debugfs: mount -t \
             debugfs none {DEBUGFS}"
        )
        .into());
    }
    found.sort();
    Ok(found)
}

/// Prints the state of all devices that are open, or of `devices` among them. Opens none.
pub(crate) fn print(devices: &[Address], json: bool) -> Result<(), Failure> {
    let states = read(devices)?;
    let mut out = BufWriter::new(io::stdout().lock());
    let mut write = || {
        if json {
            let states = states.iter().map(|(address, text)| {
                let state: Vec<_> = text.lines().map(|line| Line::new(line).as_json()).collect();
                serde_json::json!({ "device": address.to_string(), "state": state })
            });
            writeln!(out, "{:#}", states.collect::<Value>())?;
        } else {
            for (address, text) in &states {
                writeln!(out, "{address}")?;
                for line in text.lines() {
                    writeln!(out, "  {line}")?;
                }
            }
        }
        out.flush()
    };
    written(write())
}

/// A line of a device that has come (`+`) or gone (`-`).
type Change<'a> = (&'a Address, char, &'a str);

/// Returns the lines that have gone, and then those that have come, in their order.
fn changes<'a>(
    before: &'a [(Address, String)],
    now: &'a [(Address, String)],
) -> impl Iterator<Item = Change<'a>> {
    fn lines(states: &[(Address, String)]) -> impl Iterator<Item = (&Address, &str)> {
        states
            .iter()
            .flat_map(|(address, text)| text.lines().map(move |line| (address, line)))
    }
    let less = |one: &'a [(Address, String)], other: &'a [(Address, String)], sign| {
        let other: BTreeSet<_> = lines(other).collect();
        lines(one)
            .filter(move |line| !other.contains(line))
            .map(move |(address, line)| (address, sign, line))
    };
    less(before, now, '-').chain(less(now, before, '+'))
}

/// Prints the state of all devices that programs open, or of `devices` among them, and then its
/// changes, until stdout fails or the program is ended. Opens none.
pub(crate) fn watch(devices: &[Address], interval: Duration, json: bool) -> Result<(), Failure> {
    let mut before = Vec::new();
    loop {
        let now = read(devices)?;
        let mut out = BufWriter::new(io::stdout().lock());
        let mut write = || {
            for (address, sign, line) in changes(&before, &now) {
                if json {
                    let mut object = Line::new(line).as_json();
                    object["device"] = address.to_string().into();
                    object["change"] = sign.to_string().into();
                    writeln!(out, "{object}")?;
                } else {
                    writeln!(out, "{address} {sign} {line}")?;
                }
            }
            out.flush()
        };
        written(write())?;
        drop(out);
        before = now;
        thread::sleep(interval);
    }
}

// contract: outside.subregionctl-lines
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_line_goes_and_comes() {
        let state = |address: &str, text: &str| (address.parse().unwrap(), text.to_owned());
        let before = [state("01:00.0", "opened\nbar a=1\nbar b=1")];
        let now = [
            state("01:00.0", "opened\nbar a=2\nbar b=1"),
            state("02:00.0", "opened"),
        ];
        let seen: Vec<_> = changes(&before, &now)
            .map(|(address, sign, line)| format!("{address} {sign} {line}"))
            .collect();
        let expected = [
            "0000:01:00.0 - bar a=1",
            "0000:01:00.0 + bar a=2",
            "0000:02:00.0 + opened",
        ];
        assert_eq!(seen, expected);
        assert_eq!(changes(&now, &now).count(), 0);
        assert_eq!(changes(&now, &[]).count(), 4);
    }

    #[test]
    fn a_closed_device_is_not_open() {
        assert!(is_open("opened pid=7 comm=a\nexports files=0\n"));
        assert!(!is_open("closed\n"));
        assert!(!is_open(""));
    }

    #[test]
    fn a_line_has_a_kind_and_values() {
        let line = Line::new("subregion index=9 offset=0x1000 attribute=WC");
        assert_eq!(line.kind, "subregion");
        let json = serde_json::json!({
            "kind": "subregion", "index": 9, "offset": 4096, "attribute": "WC",
        });
        assert_eq!(line.as_json(), json);
    }

    #[test]
    fn the_name_of_a_thread_ends_a_line() {
        let json = Line::new("opened pid=7 comm=a b=1 comm=2").as_json();
        let expected = serde_json::json!({ "kind": "opened", "pid": 7, "comm": "a b=1 comm=2" });
        assert_eq!(json, expected);
        assert_eq!(Line::new("opened pid=7 comm=12").as_json()["comm"], "12");
    }
}
