// SPDX-License-Identifier: GPL-2.0-only

//! The report, as JSON.
//!
//! No string in it has a character that JSON escapes, so that no crate is needed to write it.

use crate::{
    marker,
    trace::{self, Settings},
};
use std::{cmp::Reverse, collections::BTreeMap, fmt::Display, fs, sync::atomic::Ordering::Relaxed};
use wctrace_model::{Reason, Totals};

/// Writes how many accesses were seen beside the report, for those who wait.
pub fn progress(seen: u64) {
    if let Some(out) = trace::settings().and_then(|settings| settings.out.as_ref()) {
        let mut path = out.clone().into_os_string();
        path.push(".progress");
        // It is only for the eye.
        let _ = fs::write(path, format!("{seen}\n"));
    }
}

/// Writes the report to where the options say.
pub fn write() {
    let Some(settings) = trace::settings() else {
        return;
    };
    let Some(out) = &settings.out else {
        return;
    };
    if let Err(error) = fs::write(out, text(settings)) {
        eprintln!("wctrace: error: cannot write {}: {error}", out.display());
    }
}

/// The object that has these keys and values.
fn object<K: Display, V: Display>(pairs: impl IntoIterator<Item = (K, V)>) -> String {
    let pairs: Vec<_> = pairs
        .into_iter()
        .map(|(key, value)| format!("\"{key}\": {value}"))
        .collect();
    format!("{{{}}}", pairs.join(", "))
}

fn text(settings: &Settings) -> String {
    let mut totals = Totals::default();
    let mut stores = BTreeMap::<_, (u64, u64)>::new();
    let mut counts = [
        ("loads", 0),
        ("kernel_stores", 0),
        ("interrupts_while_stores_waited", 0),
        ("bytes_stored_again", 0),
        ("fences", 0),
        ("fences_without_stores", 0),
        ("doorbells_without_fence", 0),
        ("doorbells_that_overtook", 0),
    ];
    trace::for_each_cpu(|traced| {
        totals.merge(&traced.totals);
        for &(name, sums) in &traced.stores {
            let all = stores.entry(name).or_default();
            *all = (all.0 + sums.0, all.1 + sums.1);
        }
        let model = &traced.model;
        let values = [
            traced.loads,
            traced.kernel_stores,
            traced.interrupted,
            model.absorbed(),
            model.fences(),
            model.idle_fences(),
            model.unfenced_doorbells(),
            model.overtaking_doorbells(),
        ];
        for ((_, count), value) in counts.iter_mut().zip(values) {
            *count += value;
        }
    });
    let stores = stores
        .into_iter()
        .map(|(name, (count, bytes))| (name, object([("stores", count), ("bytes", bytes)])));
    let by_reason = Reason::ALL
        .iter()
        .map(|&reason| (reason.name(), totals.writes_by(reason)))
        .filter(|&(_, writes)| writes > 0);
    let mut places: Vec<_> = totals.places.iter().collect();
    places.sort_by_key(|(place, sums)| (Reverse(sums.0), **place));
    let places: Vec<_> = places
        .into_iter()
        .map(|(place, (lines, writes))| {
            let reason = format!("\"{}\"", place.reason.name());
            let numbers = [
                ("place", place.place),
                ("last_store", place.last_store),
                ("lines", *lines),
                ("writes", *writes),
            ];
            let pairs = numbers.map(|(name, number)| (name, number.to_string()));
            object(pairs.into_iter().chain([("reason", reason)]))
        })
        .collect();
    let mut pairs = vec![
        ("policy", format!("\"{}\"", settings.policy_name)),
        ("base", marker::BASE.load(Relaxed).to_string()),
        ("stores", object(stores)),
        ("writes", totals.writes.to_string()),
        ("bytes", totals.bytes.to_string()),
        ("link_bytes", totals.link_bytes.to_string()),
        ("full_lines", totals.full.to_string()),
        ("broken_lines", totals.broken.to_string()),
        ("writes_by_reason", object(by_reason)),
        ("writes_by_size", object(&totals.sizes)),
        ("places", format!("[{}]", places.join(",\n"))),
    ];
    pairs.extend(counts.map(|(name, count)| (name, count.to_string())));
    object(pairs) + "\n"
}
