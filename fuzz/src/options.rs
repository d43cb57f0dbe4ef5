// SPDX-License-Identifier: GPL-2.0-only

//! What the command line says.

/// What `--help` says.
pub const HELP: &str = "\
usage: fuzz [--seed N] [--minutes N | --ops N] [--sequence N] [--device NAME] [--mode MODE] [--trace]

Does random operations on devices that are bound to subregion_vfio_pci, in sequences, until the time
is up or so many operations were done, and says in KTAP what was not as it must be.

  --seed N      what the operations depend on (default 1)
  --minutes N   how long (default 1)
  --ops N       how many operations, instead
  --sequence N  only that one; with --ops, the first operations of it
  --device NAME only on that device: one of DEV_* in the environment
  --mode MODE   exact: one operation at a time, and each outcome is known; or concurrent: four threads
                of two processes at once, and what is left is compared
  --trace       tells each operation before it is done

Ctrl-C and SIGTERM end it after the operation that is being done.
";

/// What the command line says.
pub struct Options {
    /// What the operations depend on.
    pub seed: u64,
    /// How long it takes.
    pub minutes: u64,
    /// How many operations there are, however long they take.
    pub ops: Option<u64>,
    /// The only sequence that is to be done.
    pub sequence: Option<u64>,
    /// The name of the only device that is used.
    pub device: Option<String>,
    /// The mode: concurrent, exact, or either.
    pub concurrent: Option<bool>,
    /// Whether each operation is told before it is done.
    pub trace: bool,
}

impl Options {
    /// Returns the command that does the same, but for which operations.
    #[must_use]
    pub fn command(&self) -> String {
        let mut words = "make fuzz".to_string();
        // As rig/settings has them.
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

    /// Reads it.
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
                .ok_or(format!("{word}: unknown, or without a value"))?;
            let number = || {
                value
                    .parse::<u64>()
                    .map_err(|_| format!("{value} is no number"))
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
