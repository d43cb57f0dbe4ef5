// SPDX-License-Identifier: GPL-2.0

//! All the unsafe code: system calls, memory that several processes share, touches that may fault.

#![allow(unsafe_code, reason = "this is where it is")]

use std::arch::global_asm;
use std::ffi::{c_int, c_ulong, c_void, CString};
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};

// The first instruction of each may fault. The handler then goes on at fuzz_faulted, with the signal as
// what the function returns; without a fault that is 0.
#[cfg(target_arch = "x86_64")]
global_asm!(
    ".globl fuzz_load32, fuzz_load64, fuzz_store32, fuzz_store64, fuzz_faulted",
    "fuzz_load32: mov eax, dword ptr [rdi]",
    "mov qword ptr [rsi], rax",
    "xor eax, eax",
    "ret",
    "fuzz_load64: mov rax, qword ptr [rdi]",
    "mov qword ptr [rsi], rax",
    "xor eax, eax",
    "ret",
    "fuzz_store32: mov dword ptr [rdi], esi",
    "sfence",
    "xor eax, eax",
    "ret",
    "fuzz_store64: mov qword ptr [rdi], rsi",
    "sfence",
    "xor eax, eax",
    "ret",
    "fuzz_faulted: ret",
);
#[cfg(target_arch = "aarch64")]
global_asm!(
    ".globl fuzz_load32, fuzz_load64, fuzz_store32, fuzz_store64, fuzz_faulted",
    "fuzz_load32: ldr w9, [x0]",
    "str x9, [x1]",
    "mov w0, #0",
    "ret",
    "fuzz_load64: ldr x9, [x0]",
    "str x9, [x1]",
    "mov w0, #0",
    "ret",
    "fuzz_store32: str w1, [x0]",
    "dsb st",
    "mov w0, #0",
    "ret",
    "fuzz_store64: str x1, [x0]",
    "dsb st",
    "mov w0, #0",
    "ret",
    "fuzz_faulted: ret",
);

extern "C" {
    fn fuzz_load32(address: u64, value: *mut u64) -> c_int;
    fn fuzz_load64(address: u64, value: *mut u64) -> c_int;
    fn fuzz_store32(address: u64, value: u64) -> c_int;
    fn fuzz_store64(address: u64, value: u64) -> c_int;
    fn fuzz_faulted();
}

/// Loads 4 or 8 bytes, or returns the signal that this raised.
pub fn load(address: u64, width: u32) -> Result<u64, i32> {
    let mut value = 0;
    let signal = if width == 4 {
        // SAFETY: the address is one that only device memory is mapped at; a fault is handled.
        unsafe { fuzz_load32(address, &raw mut value) }
    } else {
        // SAFETY: as above.
        unsafe { fuzz_load64(address, &raw mut value) }
    };
    if signal == 0 {
        Ok(value)
    } else {
        Err(signal)
    }
}

/// Stores 4 or 8 bytes, or returns the signal that this raised.
pub fn store(address: u64, width: u32, value: u64) -> Result<(), i32> {
    let signal = if width == 4 {
        // SAFETY: the address is one that only device memory is mapped at; a fault is handled.
        unsafe { fuzz_store32(address, value) }
    } else {
        // SAFETY: as above.
        unsafe { fuzz_store64(address, value) }
    };
    if signal == 0 {
        Ok(())
    } else {
        Err(signal)
    }
}

extern "C" fn on_fault(signal: c_int, _: *mut libc::siginfo_t, context: *mut c_void) {
    let context: *mut libc::ucontext_t = context.cast();
    let may_fault = [
        fuzz_load32 as usize,
        fuzz_load64 as usize,
        fuzz_store32 as usize,
        fuzz_store64 as usize,
    ];
    let landing = fuzz_faulted as usize;
    // SAFETY: the kernel gives a handler its context.
    let context = unsafe { &mut (*context).uc_mcontext };
    #[cfg(target_arch = "x86_64")]
    {
        let at = &mut context.gregs[libc::REG_RIP as usize];
        if may_fault.contains(&(*at as usize)) {
            *at = landing as i64;
            context.gregs[libc::REG_RAX as usize] = i64::from(signal);
            return;
        }
    }
    #[cfg(target_arch = "aarch64")]
    if may_fault.contains(&(context.pc as usize)) {
        context.pc = landing as u64;
        context.regs[0] = signal as u64;
        return;
    }
    // SAFETY: it ends the process.
    unsafe { libc::_exit(100 + signal) };
}

/// Has touches return the signal that they raise, and children go when they end, or when this process
/// has.
pub fn prepare_signals() -> io::Result<()> {
    // SAFETY: all zero is a valid action.
    let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    action.sa_flags = libc::SA_SIGINFO;
    action.sa_sigaction = on_fault as usize;
    for signal in [libc::SIGSEGV, libc::SIGBUS] {
        // SAFETY: the action is valid, and the handler changes the context only.
        check(unsafe { libc::sigaction(signal, &raw const action, ptr::null_mut()) }.into())?;
    }
    let mut ignore = action;
    ignore.sa_flags = 0;
    ignore.sa_sigaction = libc::SIG_IGN;
    // SAFETY: the action is valid.
    check(unsafe { libc::sigaction(libc::SIGCHLD, &raw const ignore, ptr::null_mut()) }.into())?;
    FIRST.store(std::process::id(), Ordering::SeqCst);
    Ok(())
}

fn check(ret: i64) -> io::Result<i64> {
    if ret == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(ret)
    }
}

/// Returns what a system call returned, or the negative errno.
fn result(ret: i64) -> i64 {
    match check(ret) {
        Ok(ret) => ret,
        Err(error) => -i64::from(error.raw_os_error().unwrap_or(libc::EIO)),
    }
}

/// Returns the descriptor that a system call returned.
fn descriptor(ret: c_int) -> io::Result<OwnedFd> {
    check(ret.into())?;
    // SAFETY: it is a new descriptor, which nobody else has.
    Ok(unsafe { OwnedFd::from_raw_fd(ret) })
}

/// `ioctl()` with a pointer that the kernel may find to be a bad one.
pub fn ioctl(fd: RawFd, request: u32, arg: u64) -> i64 {
    // SAFETY: the argument is a number or the address of memory that is this program's to lose.
    result(unsafe { libc::ioctl(fd, c_ulong::from(request) as _, arg) }.into())
}

/// `mmap()` at an address that is for device memory only.
pub fn map(at: u64, len: u64, prot: c_int, flags: c_int, fd: RawFd, offset: u64) -> i64 {
    let (at, len) = (at as *mut c_void, len as usize);
    // SAFETY: nothing else is mapped at these addresses.
    let ret = unsafe { libc::mmap(at, len, prot, flags, fd, offset as i64) };
    result(ret as i64)
}

/// `munmap()` of addresses that are for device memory only.
pub fn unmap(at: u64, len: u64) -> i64 {
    // SAFETY: nothing else is mapped at these addresses.
    result(unsafe { libc::munmap(at as *mut c_void, len as usize) }.into())
}

/// `mremap()` of addresses that are for device memory only.
pub fn remap(from: u64, old: u64, new: u64, to: Option<u64>) -> i64 {
    let from = from as *mut c_void;
    let (old, new) = (old as usize, new as usize);
    let ret = match to {
        Some(to) => {
            let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED;
            // SAFETY: nothing else is mapped at these addresses.
            unsafe { libc::mremap(from, old, new, flags, to as *mut c_void) }
        }
        // SAFETY: as above.
        None => unsafe { libc::mremap(from, old, new, 0) },
    };
    result(ret as i64)
}

/// `mprotect()` of addresses that are for device memory only.
pub fn protect(at: u64, len: u64, prot: c_int) -> i64 {
    // SAFETY: nothing else is mapped at these addresses.
    result(unsafe { libc::mprotect(at as *mut c_void, len as usize, prot) }.into())
}

/// `madvise()` of addresses that are for device memory only.
pub fn advise(at: u64, len: u64, advice: c_int) -> i64 {
    // SAFETY: nothing else is mapped at these addresses.
    result(unsafe { libc::madvise(at as *mut c_void, len as usize, advice) }.into())
}

/// `pread()` into a buffer.
pub fn read_at(fd: RawFd, buffer: &mut [u8], offset: u64) -> i64 {
    // SAFETY: the buffer is as long as it says.
    let ret = unsafe { libc::pread64(fd, buffer.as_mut_ptr().cast(), buffer.len(), offset as i64) };
    result(ret as i64)
}

/// `pwrite()` from a buffer.
pub fn write_at(fd: RawFd, buffer: &[u8], offset: u64) -> i64 {
    // SAFETY: the buffer is as long as it says.
    let ret = unsafe { libc::pwrite64(fd, buffer.as_ptr().cast(), buffer.len(), offset as i64) };
    result(ret as i64)
}

/// `write()` of 8 bytes, as an eventfd wants it.
pub fn signal(fd: RawFd) -> i64 {
    let one = 1u64.to_ne_bytes();
    // SAFETY: the buffer is as long as it says.
    result(unsafe { libc::write(fd, one.as_ptr().cast(), one.len()) } as i64)
}

/// `fork()`: 0 in the child.
pub fn fork() -> i64 {
    // SAFETY: the processes that do so have one thread, or go on in the child with system calls only.
    result(unsafe { libc::fork() }.into())
}

/// Ends the process at once.
pub fn exit(status: c_int) -> ! {
    // SAFETY: it ends the process.
    unsafe { libc::_exit(status) }
}

/// Waits for a child, and returns its status.
pub fn wait_for(pid: i64) -> c_int {
    let mut status = -1;
    // SAFETY: the status is written.
    unsafe { libc::waitpid(pid as c_int, &raw mut status, 0) };
    status
}

/// Has children wait to be asked for their status, as is usual.
pub fn keep_children() {
    // SAFETY: there is no handler.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
}

/// The process that all others work for.
static FIRST: AtomicU32 = AtomicU32::new(0);

/// Ends this process if the first one has ended, which [`prepare_signals`] was called in.
pub fn end_with_first() {
    let first = FIRST.load(Ordering::SeqCst) as c_int;
    // SAFETY: it takes numbers, and sends nothing.
    if unsafe { libc::kill(first, 0) } != 0 {
        exit(5);
    }
}

/// Kills a process.
pub fn kill(pid: i64) {
    // SAFETY: it is a child of this program.
    unsafe { libc::kill(pid as c_int, libc::SIGKILL) };
}

/// Closes a descriptor.
pub fn close(fd: RawFd) -> i64 {
    // SAFETY: the descriptors of devices are kept as numbers, and owned by nobody.
    result(unsafe { libc::close(fd) }.into())
}

/// An eventfd that is never waited for.
pub fn eventfd() -> io::Result<OwnedFd> {
    // SAFETY: it takes numbers.
    descriptor(unsafe { libc::eventfd(0, libc::EFD_NONBLOCK) })
}

/// A descriptor of a process, to see when it has ended.
pub fn pidfd(pid: i64) -> io::Result<OwnedFd> {
    // SAFETY: it takes numbers.
    descriptor(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) } as c_int)
}

/// Waits until the process of a descriptor has ended, for some seconds at most.
pub fn wait_for_end(pidfd: &OwnedFd, seconds: i32) -> bool {
    let mut poll = libc::pollfd {
        fd: pidfd.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: there is one structure.
    unsafe { libc::poll(&raw mut poll, 1, 1000 * seconds) == 1 }
}

/// Memory that is shared with all children, as a `T` of zeroes. It is never unmapped.
///
/// # Safety
///
/// All zero is a valid `T`.
pub unsafe fn share<T>() -> io::Result<&'static T> {
    let prot = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
    // SAFETY: the kernel chooses the addresses.
    let memory = unsafe { libc::mmap(ptr::null_mut(), size_of::<T>(), prot, flags, -1, 0) };
    check(memory as i64)?;
    // SAFETY: it is as long as a T, aligned to pages and zero, which is valid, says the caller.
    Ok(unsafe { &*memory.cast() })
}

/// Memory for the structures of ioctls: pages that can be written, one that cannot be accessed, and the
/// same pages again, read-only.
#[derive(Clone, Copy)]
pub struct Arena {
    base: u64,
    page: u64,
}

impl Arena {
    /// How many pages can be written.
    const PAGES: u64 = 4;

    /// Makes it; it is never unmapped, and children have one of their own.
    pub fn new() -> io::Result<Self> {
        let page = page_size();
        let name = CString::default();
        // SAFETY: the name is a string.
        let file = descriptor(unsafe { libc::memfd_create(name.as_ptr(), 0) })?;
        File::from(file.try_clone()?).set_len(Self::PAGES * page)?;
        let size = (Self::PAGES * page) as usize;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let room = 2 * size + page as usize;
        // SAFETY: the kernel chooses the addresses.
        let hole = unsafe { libc::mmap(ptr::null_mut(), room, libc::PROT_NONE, flags, -1, 0) };
        let base = check(hole as i64)? as u64;
        let flags = libc::MAP_SHARED | libc::MAP_FIXED;
        let both = libc::PROT_READ | libc::PROT_WRITE;
        let fd = file.as_raw_fd();
        check(map(base, size as u64, both, flags, fd, 0))?;
        check(map(
            base + size as u64 + page,
            size as u64,
            libc::PROT_READ,
            flags,
            fd,
            0,
        ))?;
        Ok(Self { base, page })
    }

    /// Where the structure is.
    pub fn good(&self) -> u64 {
        self.base
    }

    /// Where the same structure is read-only.
    pub fn read_only(&self) -> u64 {
        self.base + (Self::PAGES + 1) * self.page
    }

    /// Where a structure begins whose last 4 bytes cannot be accessed.
    pub fn cut(&self, size: u32) -> u64 {
        self.base + Self::PAGES * self.page - u64::from(size) + 4
    }

    /// Copies bytes to an address that [`Self::good`] or [`Self::cut`] gave, as far as there is room.
    pub fn put(&self, at: u64, bytes: &[u8]) {
        let room = (self.base + Self::PAGES * self.page - at) as usize;
        let len = bytes.len().min(room);
        // SAFETY: so many bytes are mapped there, and nobody has a reference to them.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), at as *mut u8, len) };
    }

    /// Copies the structure to `bytes`.
    pub fn get(&self, bytes: &mut [u8]) {
        let len = bytes.len().min((Self::PAGES * self.page) as usize);
        // SAFETY: so many bytes are mapped there, and nobody has a reference to them.
        unsafe { ptr::copy_nonoverlapping(self.base as *const u8, bytes.as_mut_ptr(), len) };
    }
}

/// The size of a page.
pub fn page_size() -> u64 {
    // SAFETY: it takes a number.
    unsafe { libc::sysconf(libc::_SC_PAGESIZE) as u64 }
}

/// Waits until `word` is not `value` any more, for some seconds at most; may end early.
pub fn futex_wait(word: &AtomicU32, value: u32, seconds: i64) {
    let timeout = libc::timespec {
        tv_sec: seconds,
        tv_nsec: 0,
    };
    let (word, timeout) = (word.as_ptr(), &raw const timeout);
    // SAFETY: the word and the time are valid.
    unsafe { libc::syscall(libc::SYS_futex, word, libc::FUTEX_WAIT, value, timeout) };
}

/// Changes `word` and wakes whoever waits for that.
pub fn futex_set(word: &AtomicU32, value: u32) {
    word.store(value, Ordering::SeqCst);
    futex_wake(word);
}

/// Wakes whoever waits for a change of `word`.
pub fn futex_wake(word: &AtomicU32) {
    // SAFETY: the word is valid.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, i32::MAX) };
}
