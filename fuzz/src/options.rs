// SPDX-License-Identifier: GPL-2.0-only

//! The command line.

/// The output of `--help`.
pub const HELP: &str = "\
usage: fuzz [--seed N] [--minutes N | --ops N] [--sequence N] [--device NAME] [--mode MODE] [--trace]

Does random operations on devices that are bound to subregion_vfio_pci, in sequences, until the
duration or the number of operations is reached, and reports errors in KTAP.

  --seed N      the seed of all choices (default 1)
  --minutes N   the duration (default 1)
  --ops N       the number of operations, instead of a duration
  --sequence N  only this sequence; with --ops, its first operations
  --device NAME only this device: one of DEV_* in the environment
  --mode MODE   exact: one operation at a time, each with a known outcome; or concurrent: four threads
                of two processes at the same time, whose results are compared afterwards
  --trace       prints each operation before it is done

Ctrl-C and SIGTERM end the program after the current operation.
";

/// The options of the command line.
pub struct Options {
    /// The seed of all choices.
    pub seed: u64,
    /// The duration.
    pub minutes: u64,
    /// The number of operations, instead of a duration.
    pub ops: Option<u64>,
    /// The only sequence to do.
    pub sequence: Option<u64>,
    /// The name of the only device to use.
    pub device: Option<String>,
    /// The mode: concurrent, exact, or either.
    pub concurrent: Option<bool>,
    /// Whether each operation is printed before it is done.
    pub trace: bool,
}

impl Options {
    /// Returns the command that repeats the run, except for the number of operations.
    #[must_use]
    pub fn command(&self) -> String {
        let mut words = "make fuzz".to_string();
        // The defaults of rig/settings.
        for (name, default) in [("ARCH", "x86_64"), ("KERNEL", "stock")] {
            match std::env::var(name) {
                Ok(value) if value != default => words += &format!(" {name}={value}"),
                _ => (),
            }
        }
        words += &format!(" SEED={}", self.seed);
        if let Some(device) = &self.device {
            words += &format!(" DEVICE={device}");
        }
        match self.concurrent {
            Some(true) => words += " MODE=concurrent",
            Some(false) => words += " MODE=exact",
            None => (),
        }
        words
    }

    /// Parses the command line.
    pub fn parse() -> Result<Self, String> {
        let mut options = Self {
            seed: 1,
            minutes: 1,
            ops: None,
            sequence: None,
            device: None,
            concurrent: None,
            trace: false,
        };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            if word == "--trace" {
                options.trace = true;
                continue;
            }
            let value = words
                .next()
                .ok_or(format!("{word}: unknown option, or its value is missing"))?;
            let number = || {
                value
                    .parse::<u64>()
                    .map_err(|_| format!("{value} is not a number"))
            };
            match word.as_str() {
                "--seed" => options.seed = number()?,
                "--minutes" => options.minutes = number()?,
                "--ops" => options.ops = Some(number()?),
                "--sequence" => options.sequence = Some(number()?),
                "--mode" if value == "exact" => options.concurrent = Some(false),
                "--mode" if value == "concurrent" => options.concurrent = Some(true),
                "--device" => options.device = Some(value),
                _ => return Err(format!("{word}: unknown")),
            }
        }
        Ok(options)
    }
}
