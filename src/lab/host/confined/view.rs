//! The file system as a confined program sees it: read-only, and only the folders in which a system keeps its programs,
//! libraries and lists of names. The only programs that it may execute are itself and those that the kernel needs for
//! that.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use elf::ElfStream;
use elf::abi::PT_INTERP;
use elf::endian::AnyEndian;
use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError, Scope,
    path_beneath_rules,
};

/// The folders of programs, libraries and lists such as `/etc/protocols`, and of the kernel's status files.
const FOLDERS: [&str; 11] =
    ["/usr", "/lib", "/lib32", "/lib64", "/bin", "/sbin", "/etc", "/opt", "/nix", "/gnu", "/proc"];

/// The newest Landlock version whose rights are handled; an older kernel handles those that it supports.
const NEWEST: ABI = ABI::V6;

/// The Landlock ruleset for `program`; `None` if the kernel has no Landlock.
pub fn landlock_ruleset(program: &Path) -> io::Result<Option<OwnedFd>> {
    let executable = executables(program)?;
    ruleset(&executable).map_err(io::Error::other)
}

/// True if the kernel has Landlock.
pub fn is_possible() -> bool {
    ruleset(&[]).is_ok_and(|ruleset| ruleset.is_some())
}

fn ruleset(executable: &[PathBuf]) -> Result<Option<OwnedFd>, RulesetError> {
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let execute: BitFlags<AccessFs> = AccessFs::ReadFile | AccessFs::Execute;
    let ruleset = Ruleset::default()
        .handle_access(AccessFs::from_all(NEWEST))?
        .handle_access(AccessNet::from_all(NEWEST))?
        .scope(Scope::from_all(NEWEST))?
        .create()?
        .add_rules(path_beneath_rules(FOLDERS, read))?
        .add_rules(path_beneath_rules(executable, execute))?;
    Ok(ruleset.into())
}

/// The files that the kernel opens to execute `program`: itself, its interpreter (`#!`), and the loader of either
/// (PT_INTERP).
fn executables(program: &Path) -> io::Result<Vec<PathBuf>> {
    // The number of interpreters that the kernel follows (`BINPRM_MAX_RECURSION` of linux/binfmts.h), and a loader.
    const MOST: usize = 6;
    let mut found = vec![program.to_owned()];
    while let Some(next) = interpreter(&found[found.len() - 1])?.filter(|_| found.len() < MOST) {
        found.push(next);
    }
    Ok(found)
}

fn interpreter(program: &Path) -> io::Result<Option<PathBuf>> {
    let mut file = File::open(program)?;
    let mut magic = [0; 2];
    match file.read_exact(&mut magic) {
        Ok(()) if magic == *b"#!" => of_script(file),
        _ => Ok(of_binary(file)),
    }
}

/// The interpreter of a script, such as `#! /bin/sh -e`.
fn of_script(file: File) -> io::Result<Option<PathBuf>> {
    const LONGEST: u64 = 256;
    let mut line = Vec::new();
    BufReader::new(file.take(LONGEST)).read_until(b'\n', &mut line)?;
    let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    Ok(words.next().map(|word| std::ffi::OsStr::from_bytes(word).into()))
}

/// The loader of a binary. `None` if it needs none, or is no binary: the kernel refuses that.
fn of_binary(file: File) -> Option<PathBuf> {
    let mut again = file.try_clone().ok()?;
    again.seek(SeekFrom::Start(0)).ok()?;
    let elf = ElfStream::<AnyEndian, _>::open_stream(again).ok()?;
    let segment = elf.segments().iter().find(|segment| segment.p_type == PT_INTERP)?;
    let mut file = file;
    file.seek(SeekFrom::Start(segment.p_offset)).ok()?;
    let mut name = Vec::new();
    BufReader::new(file.take(segment.p_filesz)).read_until(0, &mut name).ok()?;
    name.pop();
    Some(std::ffi::OsStr::from_bytes(&name).into())
}
