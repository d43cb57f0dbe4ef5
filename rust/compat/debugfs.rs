// SPDX-License-Identifier: GPL-2.0-only

//! Directories in debugfs, each with a file of text. Upstream home: rust/kernel/debugfs.rs.
//!
//! These files differ in two ways from those of the kernel crate (Linux 7.3):
//!
//! - They name the driver's module as their owner. Otherwise the module could be unloaded while a
//!   process has a file open, and the kernel would use its table of operations when the process
//!   closes the file.
//! - open() makes the whole text, and read() only copies it. debugfs lets the removal of a file
//!   wait for the operations that it wraps. The usual wrapper, `full_proxy_read()`, includes the
//!   copy to user memory, so a process whose page never comes (userfaultfd, FUSE) would delay the
//!   removal for ever. These files are made by `debugfs_create_file_unsafe()`, which wraps only
//!   open().
//!
//! A removal still waits for a process that lists the directory: the kernel holds the directory's
//! lock while getdents() copies names to user memory. Only root can list it. A directory should
//! therefore come and go with a device, whose unbinding waits for other things as well, and not
//! with each open of it.
//!
//! As usual for debugfs, a directory or file that the kernel cannot make is missing, without an
//! error.
//!
//! C header: [`include/linux/debugfs.h`](srctree/include/linux/debugfs.h)

use crate::bindings;
use core::{
    fmt,
    marker::PhantomData, //
};
use kernel::{
    bindings::{
        dentry,
        file,
        file_operations,
        inode, //
    },
    error::from_result,
    prelude::*,
    str::CStr, //
};

/// A directory in debugfs. Dropping it removes it with everything in it, after each open() of its
/// files has ended.
///
/// # Invariants
///
/// The pointer is what a function of debugfs returned for a directory.
pub(crate) struct DebugDir(*mut dentry);

// SAFETY: Any thread may use a directory of debugfs.
unsafe impl Send for DebugDir {}

// SAFETY: As above.
unsafe impl Sync for DebugDir {}

impl DebugDir {
    /// Makes the directory `name` in the root of debugfs.
    pub(crate) fn new(name: &CStr) -> Self {
        // INVARIANT: The function returns a directory or an error.
        // SAFETY: The name is a valid string.
        Self(unsafe { bindings::vfio_rs_debugfs_dir(name.as_char_ptr()) })
    }

    /// Makes the directory `name` in the directory `parent`, which is in the root of debugfs.
    fn within(parent: &CStr, name: &CStr) -> Self {
        // INVARIANT: The function returns a directory or an error.
        // SAFETY: Both names are valid strings.
        Self(unsafe { bindings::vfio_rs_debugfs_subdir(parent.as_char_ptr(), name.as_char_ptr()) })
    }
}

impl Drop for DebugDir {
    fn drop(&mut self) {
        // SAFETY: A function of debugfs returned the pointer, by the type's invariant, and this is
        // its last use.
        unsafe { bindings::vfio_rs_debugfs_remove(self.0) };
    }
}

/// The contents of a file.
pub(crate) trait Show: Send + Sync + 'static {
    /// The module that has the code of this implementation. The file keeps it loaded while a
    /// process has the file open. Only unsafe code makes a [`ThisModule`], and it guarantees that
    /// this is the module that it is part of.
    const OWNER: ThisModule;

    /// Writes the contents to `text`, and fails only if that does. The removal of the file waits
    /// for this function, so it must not access user memory.
    fn show(&self, text: &mut dyn fmt::Write) -> fmt::Result;
}

/// Text in kernel memory, which grows as needed.
struct Text(KVVec<u8>);

impl fmt::Write for Text {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        let done = self
            .0
            .extend_from_slice(part.as_bytes(), GFP_KERNEL_ACCOUNT);
        done.map_err(|_| fmt::Error)
    }
}

/// A file with the contents of a `T`, in a directory of its own.
pub(crate) struct DebugFile<T: Show> {
    // The fields are dropped in this order: no open() uses the data after the removal.
    _dir: DebugDir,
    _data: KBox<T>,
}

impl<T: Show> DebugFile<T> {
    /// Makes the file `name` in the new directory `dir` of the directory `parent`, which is in the
    /// root of debugfs. Only root can read it.
    ///
    /// Fails with [`ENOMEM`] if the kernel has no memory for `data`.
    pub(crate) fn new(parent: &CStr, dir: &CStr, name: &CStr, data: T) -> Result<Self> {
        let data = KBox::new(data, GFP_KERNEL_ACCOUNT)?;
        let dir = DebugDir::within(parent, dir);
        let pointer = core::ptr::from_ref(&*data).cast_mut().cast();
        let table = &Table::<T>::OPERATIONS;
        // SAFETY: The directory and the name are valid. The functions of the table expect a `T`,
        // which lives until the directory has been removed.
        unsafe { bindings::vfio_rs_debugfs_file(name.as_char_ptr(), dir.0, pointer, table) };
        Ok(Self {
            _dir: dir,
            _data: data,
        })
    }
}

/// The operations of a file with the contents of a `T`.
struct Table<T: Show>(PhantomData<T>);

impl<T: Show> Table<T> {
    const OPERATIONS: file_operations = file_operations {
        owner: T::OWNER.as_ptr(),
        open: Some(Self::open),
        read: Some(Self::read),
        release: Some(Self::release),
        ..pin_init::zeroed()
    };

    /// # Safety
    ///
    /// Only debugfs may call this, for a file that [`DebugFile::new`] made.
    unsafe extern "C" fn open(inode: *mut inode, file: *mut file) -> c_int {
        // SAFETY: debugfs passes a valid inode.
        let data = unsafe { (*inode).i_private };
        // SAFETY: The field points to the `T` of a `DebugFile`, which is dropped after the removal
        // of the file. The removal waits for this function.
        let data = unsafe { &*data.cast::<T>() };
        from_result(|| {
            let mut text = Text(KVVec::new());
            data.show(&mut text).map_err(|_| ENOMEM)?;
            let text = KBox::into_raw(KBox::new(text, GFP_KERNEL_ACCOUNT)?);
            // SAFETY: debugfs passes a file that is being opened, and no other code uses the field.
            unsafe { (*file).private_data = text.cast() };
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Only the VFS may call this, with a file that [`Self::open`] opened and a valid offset.
    unsafe extern "C" fn read(
        file: *mut file,
        buffer: *mut c_char,
        count: usize,
        offset: *mut i64,
    ) -> isize {
        // SAFETY: The VFS passes a valid file, and nothing changes the field.
        let text = unsafe { (*file).private_data };
        // SAFETY: `open` set the field, and `release` frees the text.
        let text = unsafe { &*text.cast::<Text>() };
        let (from, size) = (text.0.as_ptr().cast(), text.0.len());
        // SAFETY: `from` has `size` bytes, and the VFS passes a valid offset and user memory, which
        // the function checks.
        unsafe {
            kernel::bindings::simple_read_from_buffer(buffer.cast(), count, offset, from, size)
        }
    }

    /// # Safety
    ///
    /// Only the VFS may call this, when the last reference to a file that [`Self::open`] opened is
    /// dropped.
    unsafe extern "C" fn release(_inode: *mut inode, file: *mut file) -> c_int {
        // SAFETY: The VFS passes a valid file.
        let text = unsafe { (*file).private_data };
        // SAFETY: `open` set the field to a pointer of `KBox::into_raw()`, and no other operation
        // runs on the file.
        drop(unsafe { KBox::<Text>::from_raw(text.cast()) });
        0
    }
}
