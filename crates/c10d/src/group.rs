//! Stores, where ranks find each other, and process groups, in which they talk.

use crate::{Error, ffi};
use std::ffi::{CString, c_char, c_int, c_void};
use std::time::Duration;
use tch::Tensor;

/// Where ranks leave their addresses.
#[derive(Debug)]
pub struct Store(*mut c_void);

// SAFETY: the stores of c10d belong to no thread; one thread at a time uses this one.
unsafe impl Send for Store {}

/// Ranks that communicate: through Gloo, in host memory, or through NCCL, each with a GPU of its
/// own.
#[derive(Debug)]
pub struct Group {
    group: *mut c_void,
    rank: usize,
    size: usize,
    on_device: bool,
}

/// Messages of one lane arrive in the order in which they were sent; NCCL knows no tags beside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Envelope {
    /// The other rank.
    pub peer: usize,
    /// Tells messages of one lane apart, where the transport can.
    pub tag: usize,
    /// Lane, from 0 on.
    pub lane: usize,
}

/// A message on its way. Its tensor lives until it has left.
#[derive(Debug)]
pub struct Sending {
    pending: *mut c_void,
    _tensor: Tensor,
}

fn text(value: &str) -> Result<CString, Error> {
    CString::new(value).map_err(|_| Error::new("a name holds a zero"))
}

fn millis(timeout: Duration) -> i64 {
    i64::try_from(timeout.as_millis()).unwrap_or(i64::MAX)
}

fn number(value: usize) -> Result<c_int, Error> {
    c_int::try_from(value).map_err(|_| Error::new(format!("{value} is too large for a rank")))
}

/// The `at::Tensor` behind a tensor. The shim only reads the handle, and writes the elements, which
/// libtorch allows through any handle.
fn raw(tensor: &Tensor) -> *mut c_void {
    tensor.as_ptr().cast_mut().cast::<c_void>()
}

impl Store {
    /// A store served over TCP by the process that gives `server`; port 0 takes a free one.
    ///
    /// # Errors
    /// A port that is taken, a server that does not answer in time.
    pub fn tcp(host: &str, port: u16, server: bool, timeout: Duration) -> Result<Store, Error> {
        let host = text(host)?;
        // SAFETY: `host` outlives the call, which copies it.
        let store = unsafe {
            ffi::lmplan_store_tcp(host.as_ptr(), port, c_int::from(server), millis(timeout))
        };
        if store.is_null() { Err(Error::last_of_group()) } else { Ok(Store(store)) }
    }

    /// A store in a file that all ranks see.
    ///
    /// # Errors
    /// A file that can not be opened.
    pub fn file(path: &str, ranks: usize, timeout: Duration) -> Result<Store, Error> {
        let path = text(path)?;
        let ranks = number(ranks)?;
        // SAFETY: `path` outlives the call, which copies it.
        let store = unsafe { ffi::lmplan_store_file(path.as_ptr(), ranks, millis(timeout)) };
        if store.is_null() { Err(Error::last_of_group()) } else { Ok(Store(store)) }
    }

    /// Leaves a value under a key, of 8 MiB at most.
    ///
    /// # Errors
    /// A store that is gone; a value that is too large.
    pub fn set(&self, key: &str, value: &[u8]) -> Result<(), Error> {
        let key = text(key)?;
        let data = value.as_ptr().cast::<c_char>();
        // SAFETY: the store is alive; key and value outlive the call, which copies them.
        let done = unsafe { ffi::lmplan_store_set(self.0, key.as_ptr(), data, value.len() as u64) };
        if done == 0 { Ok(()) } else { Err(Error::last_of_group()) }
    }

    /// The value under a key, none where nothing has been left there. Does not wait for it.
    ///
    /// # Errors
    /// A store that is gone.
    pub fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        let key = text(key)?;
        let (mut data, mut size) = (std::ptr::null(), 0);
        // SAFETY: the store is alive; the key outlives the call, which writes to the two places.
        let there =
            unsafe { ffi::lmplan_store_get(self.0, key.as_ptr(), &raw mut data, &raw mut size) };
        match there {
            0 => Ok(None),
            1 if size == 0 => Ok(Some(Vec::new())),
            // SAFETY: points to as many bytes, until the next call of this thread.
            1 => Ok(Some(unsafe { std::slice::from_raw_parts(data, size as usize) }.to_vec())),
            _ => Err(Error::last_of_group()),
        }
    }

    /// The port of a TCP store.
    pub fn port(&self) -> Option<u16> {
        // SAFETY: the store is alive as long as `self`.
        u16::try_from(unsafe { ffi::lmplan_store_port(self.0) }).ok()
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // SAFETY: made by the shim, freed once.
        unsafe { ffi::lmplan_store_free(self.0) }
    }
}

impl Group {
    /// Joins the group `name` as `rank` of `size`; all of its ranks must do so. `address` is the
    /// interface to use, the host's own where empty. Whatever takes longer than `timeout` is an
    /// error.
    ///
    /// # Errors
    /// Ranks that do not come in time.
    pub fn join(
        store: &Store,
        name: &str,
        rank: usize,
        size: usize,
        address: &str,
        timeout: Duration,
    ) -> Result<Group, Error> {
        let (name, address) = (text(name)?, text(address)?);
        let (own, all) = (number(rank)?, number(size)?);
        // SAFETY: the store is alive; the strings outlive the call, which copies them.
        let group = unsafe {
            ffi::lmplan_group(store.0, name.as_ptr(), own, all, address.as_ptr(), millis(timeout))
        };
        if group.is_null() {
            return Err(Error::last_of_group());
        }
        Ok(Group { group, rank, size, on_device: false })
    }

    /// As [`Group::join`], through NCCL on this process's GPU `device`; `lanes` is how many lanes its
    /// messages need. Collectives and receipts stand in the GPU's stream: they are not done when a
    /// call returns, but before whatever kernel follows.
    ///
    /// # Errors
    /// No NCCL; ranks that do not come in time; two ranks with one GPU.
    pub fn join_nccl(
        store: &Store,
        name: &str,
        (rank, size): (usize, usize),
        device: i32,
        lanes: usize,
        timeout: Duration,
    ) -> Result<Group, Error> {
        let name = text(name)?;
        let (own, all, lanes) = (number(rank)?, number(size)?, number(lanes)?);
        let millis = millis(timeout);
        // SAFETY: the store is alive; the name outlives the call, which copies it.
        let group = unsafe {
            ffi::lmplan_nccl_group(store.0, name.as_ptr(), own, all, device, lanes, millis)
        };
        if group.is_null() {
            return Err(Error::last_of_group());
        }
        Ok(Group { group, rank, size, on_device: device >= 0 })
    }

    /// Whether its tensors are those of a GPU.
    pub const fn on_device(&self) -> bool {
        self.on_device
    }

    /// Waits until all that was begun is done, no longer than the group's time.
    ///
    /// # Errors
    /// Ranks that die or do not come in time.
    pub fn settle(&self) -> Result<(), Error> {
        // SAFETY: the group is alive.
        Error::check_group(unsafe { ffi::lmplan_settle(self.group) })
    }

    /// Number of this rank in the group.
    pub const fn rank(&self) -> usize {
        self.rank
    }

    /// Ranks of the group.
    pub const fn size(&self) -> usize {
        self.size
    }

    /// Sums a contiguous tensor over the ranks, in place; or takes the largest element.
    ///
    /// # Errors
    /// Ranks that disagree on the size, die or do not come in time.
    pub fn all_reduce(&self, tensor: &Tensor, maximum: bool) -> Result<(), Error> {
        // SAFETY: group and tensor are alive during the call, which waits for its end.
        let code = unsafe { ffi::lmplan_all_reduce(self.group, raw(tensor), c_int::from(maximum)) };
        Error::check_group(code)
    }

    /// Collects the parts of all ranks along the first dimension of `output`.
    ///
    /// # Errors
    /// As [`Group::all_reduce`].
    pub fn all_gather(&self, output: &Tensor, input: &Tensor) -> Result<(), Error> {
        // SAFETY: as in `all_reduce`.
        Error::check_group(unsafe { ffi::lmplan_all_gather(self.group, raw(output), raw(input)) })
    }

    /// Sums over the ranks and keeps this rank's part along the first dimension of `input`.
    ///
    /// # Errors
    /// As [`Group::all_reduce`].
    pub fn reduce_scatter(&self, output: &Tensor, input: &Tensor) -> Result<(), Error> {
        // SAFETY: as in `all_reduce`.
        Error::check_group(unsafe {
            ffi::lmplan_reduce_scatter(self.group, raw(output), raw(input))
        })
    }

    /// Sends the r-th part along the first dimension of `input` to rank r.
    ///
    /// # Errors
    /// As [`Group::all_reduce`].
    pub fn all_to_all(&self, output: &Tensor, input: &Tensor) -> Result<(), Error> {
        // SAFETY: as in `all_reduce`.
        Error::check_group(unsafe { ffi::lmplan_all_to_all(self.group, raw(output), raw(input)) })
    }

    /// Copies the tensor of rank `root` to all.
    ///
    /// # Errors
    /// As [`Group::all_reduce`].
    pub fn broadcast(&self, tensor: &Tensor, root: usize) -> Result<(), Error> {
        let root = number(root)?;
        // SAFETY: as in `all_reduce`.
        Error::check_group(unsafe { ffi::lmplan_broadcast(self.group, raw(tensor), root) })
    }

    /// Waits for all ranks.
    ///
    /// # Errors
    /// As [`Group::all_reduce`].
    pub fn barrier(&self) -> Result<(), Error> {
        // SAFETY: the group is alive.
        Error::check_group(unsafe { ffi::lmplan_barrier(self.group) })
    }

    /// Starts to send a contiguous tensor.
    ///
    /// # Errors
    /// As [`Group::all_reduce`].
    pub fn send(&self, tensor: Tensor, to: Envelope) -> Result<Sending, Error> {
        let [peer, tag, lane] = [number(to.peer)?, number(to.tag)?, number(to.lane)?];
        // SAFETY: group and tensor are alive; the tensor is kept until the message has left.
        let pending = unsafe { ffi::lmplan_send(self.group, raw(&tensor), peer, tag, lane) };
        if pending.is_null() {
            Err(Error::last_of_group())
        } else {
            Ok(Sending { pending, _tensor: tensor })
        }
    }

    /// Receives into a contiguous tensor.
    ///
    /// # Errors
    /// As [`Group::all_reduce`].
    pub fn receive(&self, tensor: &Tensor, from: Envelope) -> Result<(), Error> {
        let [peer, tag, lane] = [number(from.peer)?, number(from.tag)?, number(from.lane)?];
        // SAFETY: as in `all_reduce`.
        Error::check_group(unsafe { ffi::lmplan_receive(self.group, raw(tensor), peer, tag, lane) })
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // SAFETY: made by the shim, freed once.
        unsafe { ffi::lmplan_group_free(self.group) }
    }
}

impl Sending {
    /// Waits until the message has left.
    ///
    /// # Errors
    /// A receiver that died or does not come in time.
    pub fn wait(self) -> Result<(), Error> {
        // SAFETY: the message is alive as long as `self`.
        Error::check_group(unsafe { ffi::lmplan_pending_wait(self.pending) })
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        // SAFETY: made by the shim, freed once.
        unsafe { ffi::lmplan_pending_free(self.pending) }
    }
}
