// SPDX-License-Identifier: GPL-2.0-only

//! Files that give access to one range of an open device.
//!
//! An [`Export`] is the data of such a file. A process that has only this file can map, read and
//! write the range, and nothing else of the device. The driver says which range it is
//! ([`Operations::Exported`]).
//!
//! # Lifetime
//!
//! The file keeps neither the device open nor the device in existence. If it had a reference to
//! the device, unbinding would wait for the file, or VFIO would find a device in its device set
//! that is no longer bound, and would permit resets because of it. All exports of an open device
//! share an [`Exports`] instead. Its lock, the *export lock*, protects a pointer to the device. A
//! user of the pointer holds the lock for reading. The last close takes it for writing and clears
//! the pointer; then it removes the entries of all mappings. The first export after the next open
//! makes a new [`Exports`]. A device without exports has none, and its last close has nothing to
//! remove.
//!
//! Three more references keep a mapping of a dead export harmless: the file keeps the `Export`; the
//! `Exports` keeps the inode through which the entries are found, with its superblock; and the
//! operations of the file keep this module loaded.
//!
//! # Locks
//!
//! The export lock comes after the mmap lock and before the memory lock. The io lock comes before
//! the mmap lock, so a thread that holds the export lock only tries to take it. Code under the
//! export lock accesses no user memory and does not wait at the gate, so the last close waits for
//! the end of a reset at most.

use super::{
    access::Access,
    mmap::map_export,
    OpenDevice,
    Operations, //
};
use crate::{
    bindings,
    compat::{
        ReadGuard,
        RwSemaphore, //
    },
    vfio::transfer::{
        rest_of_step,
        Direction, //
    }, //
};
use core::{
    marker::PhantomData,
    ops::Deref,
    ptr::NonNull, //
};
use kernel::{
    bindings::{
        file,
        file_operations,
        inode,
        vm_area_struct, //
    },
    error::{
        from_err_ptr,
        from_result, //
    },
    fs::file::{
        File,
        FileDescriptorReservation, //
    },
    prelude::*,
    static_lock_class,
    sync::{
        aref::ARef,
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc, //
    },
    time::{
        delay::fsleep,
        Delta, //
    },
    uaccess::{
        UserPtr,
        UserSlice, //
    }, //
};

/// A pointer to an open device, which the export lock protects.
struct Live<T: Operations>(NonNull<OpenDevice<T>>);

// SAFETY: Any thread may use an open device, and several threads may do so at the same time.
unsafe impl<T: Operations> Send for Live<T> {}

// SAFETY: As above.
unsafe impl<T: Operations> Sync for Live<T> {}

/// The inode of a device's mappings, with a reference to it and to its superblock.
struct MappingInode(NonNull<inode>);

// SAFETY: Any thread may use an inode and drop a reference to it.
unsafe impl Send for MappingInode {}

// SAFETY: As above.
unsafe impl Sync for MappingInode {}

impl Drop for MappingInode {
    fn drop(&mut self) {
        // SAFETY: `vfio_rs_get_inode()` returned the inode, and this is its last use.
        unsafe { bindings::vfio_rs_put_inode(self.0.as_ptr()) };
    }
}

/// The common part of all exports of an open device.
#[pin_data]
pub(super) struct Exports<T: Operations> {
    /// The device, or `None` after its last close.
    #[pin]
    device: RwSemaphore<Option<Live<T>>>,
    inode: MappingInode,
    /// The number of files.
    files: Atomic<i64>,
}

impl<T: Operations> Exports<T> {
    /// Makes the common part of the exports of `device`.
    ///
    /// Fails with [`ENOMEM`] if the kernel has no memory.
    ///
    /// # Safety
    ///
    /// If any thread uses the result, [`Self::revoke`] must be called before `device` is no longer
    /// open.
    pub(super) unsafe fn new(device: &OpenDevice<T>) -> Result<Arc<Self>> {
        // SAFETY: The device is valid, and VFIO has set the inode.
        let inode = unsafe { bindings::vfio_rs_get_inode(device.core().as_ptr()) };
        let inode = MappingInode(NonNull::new(inode).ok_or(ENODEV)?);
        let live = Live(NonNull::from(device));
        let init = pin_init!(Self {
            device <- RwSemaphore::new(Some(live), c"vfio_exports", static_lock_class!()),
            inode,
            files: Atomic::new(0),
        });
        Arc::pin_init(init, GFP_KERNEL_ACCOUNT)
    }

    /// Returns the number of files.
    pub(super) fn files(&self) -> i64 {
        self.files.load(Relaxed)
    }

    /// Ends all exports. No thread uses the device through one afterwards.
    pub(super) fn revoke(&self) {
        *self.device.write() = None;
    }

    /// Takes the export lock for reading and returns the device, or `None` if it has been closed or
    /// is being closed. This does not wait: the last close waits for the lock while another reader
    /// of it waits for the end of a reset, and the caller may hold the mmap lock (reset/lend.rs).
    /// Only [`Self::revoke`] takes the lock for writing, so the attempt fails for no other reason.
    fn device(&self) -> Option<DeviceRef<'_, T>> {
        let lock = self.device.try_read()?;
        let device = lock.as_ref()?.0;
        Some(DeviceRef {
            device,
            _lock: lock,
        })
    }
}

/// An open device that an export uses. It holds the export lock for reading.
pub(super) struct DeviceRef<'a, T: Operations> {
    device: NonNull<OpenDevice<T>>,
    _lock: ReadGuard<'a, Option<Live<T>>>,
}

impl<T: Operations> Deref for DeviceRef<'_, T> {
    type Target = OpenDevice<T>;

    fn deref(&self) -> &OpenDevice<T> {
        // SAFETY: The pointer was read under the lock, which is still held. The device is open
        // until `Exports::revoke` has taken the lock for writing, as the caller of
        // `Exports::new` guarantees.
        unsafe { self.device.as_ref() }
    }
}

/// The data of a file that leads to a range of a device.
pub(super) struct Export<T: Operations> {
    exports: Arc<Exports<T>>,
    target: T::Exported,
}

impl<T: Operations> Export<T> {
    /// Takes the export lock for reading and returns the device, or `None` if it has been closed or
    /// is being closed.
    pub(super) fn device(&self) -> Option<DeviceRef<'_, T>> {
        self.exports.device()
    }

    /// Returns the range to which the file leads.
    pub(super) fn target(&self) -> T::Exported {
        self.target
    }

    /// Reads or writes bytes from byte `at` of the export, and returns their number.
    fn access(&self, at: u64, access: &mut Access<'_>) -> Result<usize> {
        loop {
            let device = self.device().ok_or(ENODEV)?;
            if device.gate().is_open()? {
                let done = device
                    .data()
                    .access_exported(&device, self.target, at, access)?;
                if let Some(done) = done {
                    return Ok(done);
                }
            }
            drop(device);
            if current!().signal_pending() {
                return Err(ERESTARTSYS);
            }
            fsleep(Delta::from_micros(100));
        }
    }

    /// Transfers at most `bytes.len()` bytes between `user` and byte `at` of the export. Returns
    /// the number of bytes.
    fn step(
        &self,
        user: UserPtr,
        at: u64,
        bytes: &mut [u8],
        direction: Direction,
    ) -> Result<usize> {
        let user = UserSlice::new(user, bytes.len());
        if direction == Direction::Write {
            user.reader().read_slice(bytes)?;
            return self.access(at, &mut Access::Write(bytes));
        }
        let done = self.access(at, &mut Access::Read(bytes))?;
        user.writer()
            .write_slice(bytes.get(..done).ok_or(EINVAL)?)?;
        Ok(done)
    }

    /// Handles read() and write() through a buffer of `STEP` bytes, which must be a multiple of 8.
    fn transfer<const STEP: usize>(
        &self,
        user: UserPtr,
        count: usize,
        offset: &mut i64,
        direction: Direction,
    ) -> Result<usize> {
        let mut buffer = [0_u8; STEP];
        let mut done: usize = 0;
        while done < count {
            let at = u64::try_from(*offset)?;
            let step = rest_of_step::<STEP>(at).min(count.saturating_sub(done));
            let bytes = buffer.get_mut(..step).ok_or(EINVAL)?;
            match self.step(user.wrapping_byte_add(done), at, bytes, direction) {
                Ok(now) => {
                    done = done.saturating_add(now);
                    // CAST: The number is at most `STEP`.
                    *offset = offset.saturating_add(now as i64);
                    if now < step || current!().signal_pending() {
                        break;
                    }
                }
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
            }
        }
        Ok(done)
    }
}

impl<T: Operations> Drop for Export<T> {
    fn drop(&mut self) {
        self.exports.files.fetch_add(-1, Relaxed);
    }
}

/// The number of bytes that most programs read or write at most at a time: a register.
const SHORT_STEP: usize = 8;

/// The number of bytes of a step of longer transfers, between two accesses to user memory.
const STEP: usize = 256;

/// A new file of an export, which no process has yet. Dropping it closes the file.
pub(crate) struct NewExport {
    fd: FileDescriptorReservation,
    file: ARef<File>,
}

impl NewExport {
    /// Makes a file with the open flags `flags`.
    pub(super) fn new<T: Operations>(
        exports: Arc<Exports<T>>,
        target: T::Exported,
        flags: u32,
    ) -> Result<Self> {
        let fd = FileDescriptorReservation::get_unused_fd_flags(flags)?;
        let inode = exports.inode.0.as_ptr();
        exports.files.fetch_add(1, Relaxed);
        let export = KBox::new(Export { exports, target }, GFP_KERNEL_ACCOUNT)?;
        let data = KBox::into_raw(export);
        let name = T::EXPORT_NAME.as_char_ptr();
        let table = &FileOps::<T>::TABLE;
        // SAFETY: The name and the table are static. The functions of the table expect an
        // `Export<T>` as the file's data. `data` keeps the inode until the file is released.
        // CAST: The flags are those of open().
        let file =
            unsafe { bindings::vfio_rs_getfile(name, table, data.cast(), flags as c_int, inode) };
        let file = from_err_ptr(file).inspect_err(|_| {
            // SAFETY: No file has taken `data`, which `KBox::into_raw()` returned.
            drop(unsafe { KBox::from_raw(data) });
        })?;
        let file = NonNull::new(file).ok_or(ENOMEM)?;
        // SAFETY: The function returned a reference to a new file, of which no descriptor exists.
        // `File` is a transparent wrapper of the structure.
        let file = unsafe { ARef::from_raw(file.cast()) };
        Ok(Self { fd, file })
    }

    /// Returns the number of the file descriptor.
    pub(crate) fn fd(&self) -> u32 {
        self.fd.reserved_fd()
    }

    /// Gives the file to the process.
    pub(crate) fn install(self) {
        self.fd.fd_install(self.file);
    }
}

/// The operations of the files of exports.
struct FileOps<T: Operations>(PhantomData<T>);

impl<T: Operations> FileOps<T> {
    const TABLE: file_operations = file_operations {
        owner: T::OWNER.as_ptr(),
        read: Some(Self::read),
        write: Some(Self::write),
        mmap: Some(Self::mmap),
        release: Some(Self::release),
        ..pin_init::zeroed()
    };

    /// Returns the data of `file`.
    ///
    /// # Safety
    ///
    /// `file` must have these operations, and must be open as long as the result lives.
    unsafe fn export<'a>(file: *mut file) -> &'a Export<T> {
        // SAFETY: The caller guarantees that the file is valid, and nothing changes the field.
        let data = unsafe { (*file).private_data };
        // SAFETY: `NewExport::new` set the field, and `release` frees the data.
        unsafe { &*data.cast() }
    }

    /// # Safety
    ///
    /// Only the VFS may call this, with a file that has these operations and a valid offset.
    unsafe extern "C" fn read(
        file: *mut file,
        buffer: *mut c_char,
        count: usize,
        offset: *mut i64,
    ) -> isize {
        // SAFETY: The caller guarantees the conditions of `transfer`.
        unsafe { Self::transfer(file, buffer, count, offset, Direction::Read) }
    }

    /// # Safety
    ///
    /// Only the VFS may call this, with a file that has these operations and a valid offset.
    unsafe extern "C" fn write(
        file: *mut file,
        buffer: *const c_char,
        count: usize,
        offset: *mut i64,
    ) -> isize {
        // SAFETY: The caller guarantees the conditions of `transfer`.
        unsafe { Self::transfer(file, buffer.cast_mut(), count, offset, Direction::Write) }
    }

    /// # Safety
    ///
    /// `file` must be an open file that has these operations. `offset` must point to an offset that
    /// no other code accesses during the call.
    unsafe fn transfer(
        file: *mut file,
        buffer: *mut c_char,
        count: usize,
        offset: *mut i64,
        direction: Direction,
    ) -> isize {
        // SAFETY: The caller guarantees the conditions.
        let export = unsafe { Self::export(file) };
        // SAFETY: `offset` is valid and not shared during the call, as the caller guarantees.
        let offset = unsafe { &mut *offset };
        let user = UserPtr::from_ptr(buffer.cast());
        // A register does not have to pay for a buffer of 256 bytes, which must be initialised.
        let result = if count <= SHORT_STEP {
            export.transfer::<SHORT_STEP>(user, count, offset, direction)
        } else {
            export.transfer::<STEP>(user, count, offset, direction)
        };
        match result {
            // CAST: The number is at most `count`, which the VFS limits to less than `isize::MAX`.
            Ok(done) => done as isize,
            Err(error) => error.to_errno() as isize,
        }
    }

    /// # Safety
    ///
    /// Only the VFS may call this, with a file that has these operations and a VMA that mmap() is
    /// setting up for it.
    unsafe extern "C" fn mmap(file: *mut file, vma: *mut vm_area_struct) -> c_int {
        // SAFETY: The caller guarantees the conditions.
        let export = unsafe { Self::export(file) };
        let Some(vma) = NonNull::new(vma) else {
            return EINVAL.to_errno();
        };
        // SAFETY: mmap() is setting up the VMA with the mmap lock held for writing. The VMA has a
        // reference to the file.
        from_result(|| unsafe { map_export(export, vma) }.map(|()| 0))
    }

    /// # Safety
    ///
    /// Only the VFS may call this, when the last reference to a file that has these operations is
    /// dropped.
    unsafe extern "C" fn release(_inode: *mut inode, file: *mut file) -> c_int {
        // SAFETY: The VFS passes a valid file.
        let data = unsafe { (*file).private_data };
        // SAFETY: `NewExport::new` set the field to a pointer of `KBox::into_raw()`. No VMA has the
        // file, and no other operation runs on it.
        drop(unsafe { KBox::<Export<T>>::from_raw(data.cast()) });
        0
    }
}
