// SPDX-License-Identifier: GPL-2.0-only

//! Follows the guest.
//!
//! The instructions of programs are followed from the start of the machine, each access to memory and
//! each ordering instruction, so that nothing needs to be translated again when the guest asks for a
//! trace by a marker (`tools/wctrace/wctrace.h`). Until then the callbacks return at once.

use crate::{
    abi::{Access, Translated},
    marker,
    paging::{self, Machine},
    report,
};
use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
        Mutex, MutexGuard, OnceLock, PoisonError,
    },
};
use wctrace_model::{
    instruction::{self, Instruction},
    walk::Entry,
    Cpu, Departure, Order, Policy, Store, Totals,
};

/// An instruction of the guest, as the callbacks get it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Code {
    address: u64,
    instruction: Instruction,
    /// The instruction before it is a store.
    follows: bool,
}

impl Code {
    fn is_kernel(&self) -> bool {
        is_kernel(self.address)
    }
}

fn is_kernel(address: u64) -> bool {
    address >> 63 == 1
}

/// The options of the plugin.
pub struct Settings {
    pub machine: Machine,
    pub policy_name: String,
    policy: Policy,
    /// The file for the report.
    pub out: Option<PathBuf>,
    /// The kernel's accesses, ordering instructions and interrupts count too.
    kernel: bool,
}

/// The counts of one CPU.
pub struct Traced {
    pub model: Cpu,
    pub totals: Totals,
    /// Stores and their bytes by memory type.
    pub stores: Vec<(&'static str, (u64, u64))>,
    pub loads: u64,
    /// Stores of the kernel among these.
    pub kernel_stores: u64,
    /// Interrupts that came while stores waited, and that the model ignored.
    pub interrupted: u64,
    /// By virtual page, what the page tables say.
    pages: HashMap<u64, Entry>,
    /// The page that was accessed last, which is also in `pages`.
    page: Option<(u64, Entry)>,
    /// The store that was executed last, and how many of its bytes were stored.
    last: (u64, u64),
}

const MAX_CPUS: usize = 64;
const MAX_RANGES: usize = 16;

static SETTINGS: OnceLock<Settings> = OnceLock::new();
static CPUS: [Mutex<Option<Traced>>; MAX_CPUS] = [const { Mutex::new(None) }; MAX_CPUS];
static CODES: Mutex<Option<HashMap<Code, &'static Code>>> = Mutex::new(None);

/// Start and end of the physical ranges; those that are not used are empty.
static RANGES: [(AtomicU64, AtomicU64); MAX_RANGES] =
    [const { (AtomicU64::new(0), AtomicU64::new(0)) }; MAX_RANGES];

/// The lowest address of all ranges and the end of the highest one. Most of a guest's memory is
/// outside.
static LOWEST: AtomicU64 = AtomicU64::new(u64::MAX);
static HIGHEST: AtomicU64 = AtomicU64::new(0);

/// A trace was asked for.
static READY: AtomicBool = AtomicBool::new(false);
static SEEN: AtomicU64 = AtomicU64::new(0);

/// Reads the options.
pub fn install(target: &str, arguments: &[String]) -> Result<(), String> {
    let (machine, mut policy_name) = match target {
        "x86_64" => (Machine::X86, "x86"),
        "aarch64" => (Machine::Arm64, "arm64"),
        _ => {
            return Err(format!(
                "{target} is not known: use a machine of x86_64 or aarch64"
            ))
        }
    };
    let (mut out, mut kernel) = (None, false);
    for argument in arguments {
        match argument.split_once('=') {
            Some(("policy", name)) => policy_name = name,
            Some(("out", path)) => out = Some(PathBuf::from(path)),
            Some(("kernel", "follow")) => kernel = true,
            Some(("kernel", "ignore")) => kernel = false,
            _ => {
                return Err(format!(
                    "unknown option {argument}: use policy=POLICY, out=FILE, kernel=follow"
                ))
            }
        }
    }
    let settings = Settings {
        machine,
        policy_name: policy_name.to_owned(),
        policy: policy_name
            .parse()
            .map_err(|error| format!("policy {error}"))?,
        out,
        kernel,
    };
    SETTINGS
        .set(settings)
        .map_err(|_| "the plugin is loaded twice: load it once".to_owned())
}

/// The options, once [`install`] has read them.
pub fn settings() -> Option<&'static Settings> {
    SETTINGS.get()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Calls `action` for a CPU, which is made when it is needed first.
fn with<T: Default>(cpu: usize, action: impl FnOnce(&mut Traced) -> T) -> T {
    let (Some(slot), Some(settings)) = (CPUS.get(cpu), SETTINGS.get()) else {
        return T::default();
    };
    let mut slot = lock(slot);
    action(slot.get_or_insert_with(|| Traced {
        model: Cpu::new(settings.policy),
        totals: Totals::default(),
        stores: Vec::new(),
        loads: 0,
        kernel_stores: 0,
        interrupted: 0,
        pages: HashMap::new(),
        page: None,
        last: (0, 0),
    }))
}

/// Calls `action` for each CPU that was seen.
pub fn for_each_cpu(mut action: impl FnMut(&mut Traced)) {
    for slot in &CPUS {
        if let Some(traced) = lock(slot).as_mut() {
            action(traced);
        }
    }
}

impl Traced {
    /// The model, and what to do with the writes that leave it.
    fn parts(&mut self) -> (&mut Cpu, impl FnMut(Departure) + '_) {
        let totals = &mut self.totals;
        (&mut self.model, |departure| totals.add(&departure))
    }

    fn order(&mut self, order: Order, place: u64) {
        let (model, mut left) = self.parts();
        model.order(order, place, &mut left);
    }

    pub fn end(&mut self) {
        let (model, mut left) = self.parts();
        model.end(&mut left);
    }

    /// The entry that maps the page of `address`.
    fn entry(&mut self, machine: Machine, address: u64, physical: u64) -> Option<Entry> {
        let page = address >> 12;
        let fits = |entry: &Entry| entry.address >> 12 == physical >> 12;
        if let Some((_, entry)) = self.page.filter(|(at, entry)| *at == page && fits(entry)) {
            return Some(entry);
        }
        let entry = match self.pages.get(&page) {
            Some(entry) if fits(entry) => *entry,
            _ => paging::walk(machine, address)?,
        };
        self.pages.insert(page, entry);
        self.page = Some((page, entry));
        Some(entry)
    }

    /// Forgets the page tables, because the kernel may change them now.
    fn forget_pages(&mut self) {
        self.pages.clear();
        self.page = None;
    }

    /// Counts a store of `size` bytes to memory of the type `name`.
    fn count(&mut self, name: &'static str, size: u64) {
        let index = self
            .stores
            .iter()
            .position(|&(known, _)| known == name)
            .unwrap_or_else(|| {
                self.stores.push((name, (0, 0)));
                self.stores.len() - 1
            });
        let (stores, bytes) = &mut self.stores[index].1;
        *stores += 1;
        *bytes += size;
    }

    fn access(&mut self, machine: Machine, access: &Access, physical: u64, code: &Code) {
        let entry = self.entry(machine, access.address, physical);
        let Some(entry) = entry.filter(|entry| entry.address >> 12 == physical >> 12) else {
            // A store is never lost silently.
            self.count("not found", 0);
            return;
        };
        let (kind, size, place) = (entry.memory_type(), access.size(), code.address);
        if !access.is_store() {
            self.loads += 1;
            let (model, mut left) = self.parts();
            model.load(physical, size, kind, place, &mut left);
            return;
        }
        self.count(entry.name, size);
        self.kernel_stores += u64::from(code.is_kernel());
        // A pair, and a structure of vectors, are several accesses of one instruction.
        let (last, done) = self.last;
        let continues = last == place && done + size <= code.instruction.stores.into();
        self.last = (place, if continues { done + size } else { size });
        let value = access.value();
        let data = &value[..value.len().min(usize::try_from(size).unwrap_or(0))];
        let store = Store {
            address: physical,
            data,
            place,
            // A block of translated code can begin behind the store before.
            follows: code.follows || continues || last + 4 == place,
        };
        let (model, mut left) = self.parts();
        model.store(&store, kind, &mut left);
    }
}

fn is_traced(address: u64) -> bool {
    address >= LOWEST.load(Relaxed)
        && address < HIGHEST.load(Relaxed)
        && RANGES
            .iter()
            .any(|(start, end)| address >= start.load(Relaxed) && address < end.load(Relaxed))
}

/// Called for each CPU when it is made.
pub fn on_cpu() {
    paging::find_registers();
}

/// Called for each block of instructions that QEMU translates.
pub fn on_block(instructions: impl Iterator<Item = Translated>) {
    let Some(settings) = SETTINGS.get() else {
        return;
    };
    let mut follows = false;
    for translated in instructions {
        let (bytes, size) = translated.bytes();
        let decoded = match settings.machine {
            Machine::X86 => instruction::x86(&bytes[..size]),
            Machine::Arm64 => {
                let [a, b, c, d, ..] = bytes;
                instruction::arm64(u32::from_le_bytes([a, b, c, d]))
            }
        };
        let address = translated.address();
        let followed = settings.kernel || !is_kernel(address);
        if followed || decoded.writes_msr {
            let code = intern(Code {
                address,
                instruction: decoded,
                follows,
            });
            if decoded.marker {
                translated.trace_marker(code);
            }
            if decoded.writes_msr {
                translated.trace_msr(code);
            }
            if followed {
                if decoded.order.is_some() {
                    translated.trace_order(code);
                }
                translated.trace_accesses(code);
            }
        }
        follows = decoded.stores > 0;
    }
}

/// The one copy of `code`, which lives as long as QEMU does.
fn intern(code: Code) -> &'static Code {
    let mut codes = lock(&CODES);
    codes
        .get_or_insert_with(HashMap::new)
        .entry(code)
        .or_insert_with(|| Box::leak(Box::new(code)))
}

/// Called for each access to memory.
pub fn on_access(cpu: usize, access: &Access, code: &Code) {
    let (true, Some(settings)) = (READY.load(Relaxed), SETTINGS.get()) else {
        return;
    };
    let Some((physical, is_io)) = access.physical() else {
        return;
    };
    if is_traced(physical) {
        with(cpu, |traced| {
            traced.access(settings.machine, access, physical, code);
        });
        if SEEN.fetch_add(1, Relaxed) % (1 << 16) == 0 {
            report::progress(SEEN.load(Relaxed));
        }
    } else if is_io {
        with(cpu, |traced| {
            let (model, mut left) = traced.parts();
            model.strict_access(code.address, &mut left);
        });
    }
}

/// Called before each ordering instruction.
pub fn on_order(cpu: usize, code: &Code) {
    if let (true, Some(order)) = (READY.load(Relaxed), code.instruction.order) {
        with(cpu, |traced| {
            traced.order(order, code.address);
            if order == Order::Trap {
                traced.forget_pages();
            }
        });
    }
}

/// Called before each write to a model-specific register.
pub fn on_msr() {
    paging::write_msr();
}

/// Called when an interrupt has come before the instruction at `from`.
pub fn on_interrupt(cpu: usize, from: u64) {
    let (true, Some(settings)) = (READY.load(Relaxed), SETTINGS.get()) else {
        return;
    };
    with(cpu, |traced| {
        traced.forget_pages();
        if settings.kernel {
            traced.order(Order::Interrupt, from);
        } else {
            traced.interrupted += u64::from(traced.model.is_waiting());
        }
    });
}

/// Called when the instruction at `from` has raised an exception.
pub fn on_exception(cpu: usize, from: u64) {
    let (true, Some(settings)) = (READY.load(Relaxed), SETTINGS.get()) else {
        return;
    };
    with(cpu, |traced| {
        traced.forget_pages();
        if settings.kernel || !is_kernel(from) {
            traced.order(Order::Trap, from);
        }
    });
}

/// Called when the machine ends.
pub fn on_exit() {
    if READY.load(Relaxed) {
        stop();
    }
    marker::tell_agreement();
}

/// Adds a range, and begins to trace if that was not done.
pub fn start(address: u64, size: u64) -> u64 {
    let free = RANGES
        .iter()
        .find(|(start, end)| start.load(Relaxed) == end.load(Relaxed));
    let (Some((start, end)), true) = (free, size > 0) else {
        return 0;
    };
    start.store(address, Relaxed);
    end.store(address.saturating_add(size), Relaxed);
    LOWEST.fetch_min(address, Relaxed);
    HIGHEST.fetch_max(address.saturating_add(size), Relaxed);
    if !READY.load(Relaxed) {
        clear();
        READY.store(true, Relaxed);
    }
    1
}

/// Ends the trace, and writes the report.
pub fn stop() -> u64 {
    for_each_cpu(Traced::end);
    READY.store(false, Relaxed);
    for (start, end) in &RANGES {
        start.store(0, Relaxed);
        end.store(0, Relaxed);
    }
    LOWEST.store(u64::MAX, Relaxed);
    HIGHEST.store(0, Relaxed);
    report::write();
    1
}

/// Forgets everything that was seen.
pub fn clear() -> u64 {
    for slot in &CPUS {
        *lock(slot) = None;
    }
    1
}

/// Whether there is a trace.
pub fn is_ready() -> bool {
    READY.load(Relaxed)
}
