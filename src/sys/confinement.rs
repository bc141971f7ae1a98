//! The last steps of a child before execve(2): the rights that it drops, in the only possible order.

use std::ffi::{CString, c_char, c_int, c_ulong};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::ptr;

use nix::libc;
use seccompiler::BpfProgram;

/// Address of the program's name in the child, the only one that a filter permits execve(2) to use. A new image has
/// nothing there: programs are linked at 2 MiB or above, or at a random high address, and a filter must refuse a
/// mapping below [`LOWEST_MAPPING`].
pub const NAME_ADDRESS: usize = 0x10_0000;

/// The lowest address that a filter may permit mmap(2) to request.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64"))]
pub const LOWEST_MAPPING: usize = 0x20_0000;

/// The address space of a confined program on a 64-bit machine: far too small to leave the kernel no other place for a
/// mapping than [`NAME_ADDRESS`].
#[cfg(target_pointer_width = "64")]
const MOST_MEMORY: Option<libc::rlim_t> = Some(8 << 30);
/// Without 64 bits there is no filter either, see `lab::confined`.
#[cfg(not(target_pointer_width = "64"))]
const MOST_MEMORY: Option<libc::rlim_t> = None;

/// The program of a child, and its rights.
pub struct Confinement {
    /// The program, its arguments beginning with its own name, and its whole environment: no more than [`MOST_WORDS`] each.
    pub program: CString,
    /// See `program`.
    pub arguments: Vec<CString>,
    /// See `program`.
    pub environment: Vec<CString>,
    /// The capabilities that it keeps, if it has them: capabilities(7), the first 32.
    pub capabilities: u32,
    /// A Landlock ruleset, see landlock_restrict_self(2).
    pub landlock: Option<OwnedFd>,
    /// A seccomp filter, see seccomp(2).
    pub filter: Option<&'static BpfProgram>,
    /// The only file descriptor above 2 that it inherits.
    pub lock: Option<OwnedFd>,
}

/// The maximum number of arguments, and of variables.
pub const MOST_WORDS: usize = 15;

/// Makes `command` execute the program of `confinement` in place of its own.
pub fn confine(command: &mut Command, confinement: Confinement) {
    let parent = std::process::id();
    let enter = move || Err(enter(&confinement, parent).err().unwrap_or_else(io::Error::last_os_error));
    // SAFETY: between fork(2) and execve(2) `enter` makes bare system calls only; it allocates nothing and takes no lock.
    unsafe { command.pre_exec(enter) };
}

/// Returns only on failure.
fn enter(confinement: &Confinement, parent: u32) -> io::Result<()> {
    die_with_parent(parent)?;
    // Marks files that were opened without O_CLOEXEC. Linux before 5.11 does not have this flag.
    // SAFETY: plain integers; see close_range(2).
    unsafe { libc::syscall(libc::SYS_close_range, 3 as libc::c_uint, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    if let Some(lock) = &confinement.lock {
        inherit(lock.as_raw_fd())?;
    }
    limit_resources()?;
    let name = place_name(&confinement.program)?;
    // SAFETY: plain integers; see prctl(2).
    check(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1 as c_ulong, 0 as c_ulong, 0 as c_ulong, 0 as c_ulong) })?;
    keep_capabilities(confinement.capabilities)?;
    if let Some(landlock) = &confinement.landlock {
        // SAFETY: a file descriptor and no flags; see landlock_restrict_self(2).
        check(unsafe { libc::syscall(libc::SYS_landlock_restrict_self, landlock.as_raw_fd(), 0) } as c_int)?;
    }
    let (arguments, environment) = (pointers(&confinement.arguments), pointers(&confinement.environment));
    if let Some(filter) = confinement.filter {
        seccompiler::apply_filter(filter).map_err(|_| io::Error::last_os_error())?;
    }
    // SAFETY: a name and two lists that end with a null pointer, which live until the image is replaced; see execve(2).
    unsafe { libc::execve(name, arguments.as_ptr(), environment.as_ptr()) };
    Err(io::Error::last_os_error())
}

/// Makes the kernel kill this process when the thread that started it ends for any reason: PR_SET_PDEATHSIG(2const).
fn die_with_parent(parent: u32) -> io::Result<()> {
    // SAFETY: plain integers; see prctl(2).
    check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as c_ulong) })?;
    // SAFETY: takes nothing, and cannot fail; see getppid(2).
    let now = unsafe { libc::getppid() };
    // The parent ended before the signal was set.
    if now.cast_unsigned() == parent { Ok(()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
}

fn inherit(file: RawFd) -> io::Result<()> {
    // SAFETY: an open file descriptor and plain integers; see F_SETFD(2const).
    check(unsafe { libc::fcntl(file, libc::F_SETFD, 0) }).map(drop)
}

/// Limits file size and core dumps to 0, and memory to [`MOST_MEMORY`].
fn limit_resources() -> io::Result<()> {
    let limits = [(libc::RLIMIT_FSIZE, 0), (libc::RLIMIT_CORE, 0)];
    let memory = MOST_MEMORY.map(|most| (libc::RLIMIT_AS, most));
    for (resource, most) in limits.into_iter().chain(memory) {
        let limit = libc::rlimit { rlim_cur: most, rlim_max: most };
        // An existing lower limit cannot be raised, and need not be.
        // SAFETY: one valid `rlimit` of this frame; see setrlimit(2).
        let set = check(unsafe { libc::setrlimit(resource, &raw const limit) });
        set.map(drop)
            .or_else(|error| if error.kind() == io::ErrorKind::PermissionDenied { Ok(()) } else { Err(error) })?;
    }
    Ok(())
}

/// Puts the name of the program at [`NAME_ADDRESS`].
fn place_name(program: &CString) -> io::Result<*const c_char> {
    const PAGE: usize = 0x1_0000;
    let bytes = program.as_bytes_with_nul();
    if bytes.len() > PAGE {
        return Err(io::ErrorKind::InvalidFilename.into());
    }
    let (writable, flags) =
        (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE);
    let address = ptr::without_provenance_mut(NAME_ADDRESS);
    // SAFETY: a new mapping, which replaces none (MAP_FIXED_NOREPLACE); see mmap(2).
    let page = unsafe { libc::mmap(address, PAGE, writable, flags, -1, 0) };
    if page == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // Linux before 4.17 treats the address as a hint.
    if page != address {
        return Err(io::ErrorKind::AddrInUse.into());
    }
    // SAFETY: the page was mapped above, is writable, nobody else knows it, and the bytes fit in.
    unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), page.cast(), bytes.len()) };
    Ok(page.cast())
}

/// The pointers of execve(2), null after the last.
fn pointers(words: &[CString]) -> [*const c_char; MOST_WORDS + 1] {
    let mut pointers = [ptr::null(); MOST_WORDS + 1];
    for (pointer, word) in pointers.iter_mut().zip(words.iter().take(MOST_WORDS)) {
        *pointer = word.as_ptr();
    }
    pointers
}

/// `struct __user_cap_header_struct` of linux/capability.h.
#[repr(C)]
struct CapabilityHeader {
    version: u32,
    process: c_int,
}

/// `struct __user_cap_data_struct`.
#[repr(C)]
#[derive(Default, Clone, Copy)]
struct CapabilitySets {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// Keeps those of `wanted` that the process has over the following execve(2), for any user. With no_new_privs root
/// regains no others there (capabilities(7), and `cap_bprm_creds_from_file` of security/commoncap.c).
pub(super) fn keep_capabilities(wanted: u32) -> io::Result<()> {
    const VERSION_3: u32 = 0x2008_0522;
    let mut header = CapabilityHeader { version: VERSION_3, process: 0 };
    let mut sets = [CapabilitySets::default(); 2];
    // SAFETY: a header and the two sets that its version asks for, which live until this returns; see capget(2).
    check(unsafe { libc::syscall(libc::SYS_capget, &raw mut header, sets.as_mut_ptr()) } as c_int)?;
    let kept = sets[0].permitted & wanted;
    let sets = [CapabilitySets { effective: kept, permitted: kept, inheritable: kept }, CapabilitySets::default()];
    // SAFETY: as above; see capset(2).
    check(unsafe { libc::syscall(libc::SYS_capset, &raw mut header, sets.as_ptr()) } as c_int)?;
    for capability in (0..u32::BITS).filter(|bit| kept & (1 << bit) != 0) {
        let (raise, capability) = (libc::PR_CAP_AMBIENT_RAISE as c_ulong, c_ulong::from(capability));
        // SAFETY: plain integers; see PR_CAP_AMBIENT(2const).
        check(unsafe { libc::prctl(libc::PR_CAP_AMBIENT, raise, capability, 0 as c_ulong, 0 as c_ulong) })?;
    }
    Ok(())
}

/// The error of a system call that returned -1.
pub(super) fn check(returned: c_int) -> io::Result<c_int> {
    if returned == -1 { Err(io::Error::last_os_error()) } else { Ok(returned) }
}
