//! Files at a revision of the git repository that they are in.
//!
//! A repository may be anybody's, and its configuration can name programs that git runs. So git runs as the owner of the
//! repository, without the environment of scanlab and without transports, and is asked for objects only (`ls-tree` and
//! `cat-file`, which apply no filter of the repository). Revisions cannot be read as options, and file names are passed
//! after `--`, as they are.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::io::AsyncReadExt;
use tokio::process::Command;
use tokio::runtime::Builder;

use super::host::confined::PATIENCE;
use crate::error::{CannotMeasure, Context, InputError, Result, Source};

/// A revision of the repository that a folder is in.
#[derive(Debug)]
pub struct Revision {
    folder: PathBuf,
    /// Its name, as the user wrote it.
    name: String,
    commit: String,
}

impl Revision {
    /// Finds the revision `name` in the repository of `folder`.
    ///
    /// # Errors
    ///
    /// If git is missing, the folder is in no repository, or the repository has no such revision.
    pub fn find(folder: &Path, name: &str) -> Result<Revision> {
        if name.is_empty() || name.starts_with('-') || name.contains(':') {
            let hint = "write a branch, a tag, a commit, or such as HEAD~1";
            return Err(InputError::new(format!("`{name}` is not the name of a revision"), hint).into());
        }
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let mut revision = Revision { folder: folder.to_owned(), name: name.to_owned(), commit: String::new() };
        let wanted = format!("{name}^{{commit}}");
        let found = revision.git(&["rev-parse", "--verify", "--quiet"], OsStr::new(&wanted))?;
        // With --quiet, git says nothing of a revision that it does not know.
        if found.status != Some(0) && found.errors.is_empty() {
            return Err(revision.not_found().into());
        }
        revision.commit = String::from_utf8_lossy(&found.checked()?).trim().to_owned();
        Ok(revision)
    }

    /// The file `path`, which is in the folder of the revision; `None` if the revision does not have it.
    ///
    /// # Errors
    ///
    /// If it is no regular file there, or not valid as an input file.
    pub fn read(&self, path: &Path) -> Result<Option<Source>> {
        let name = path.file_name().unwrap_or_default();
        let listed = self.git(&["ls-tree", "-z", &self.commit, "--"], name)?.checked()?;
        let shown = PathBuf::from(format!("{}:{}", self.name, path.display()));
        // "100644 blob 27c081302e8dcf60...\tname"
        let entry = String::from_utf8_lossy(&listed);
        let mut words = entry.split([' ', '\t']);
        let (Some(mode), Some(_), Some(object)) = (words.next(), words.next(), words.next()) else { return Ok(None) };
        if !mode.starts_with("100") {
            let problem = format!("cannot read {}: it is not a regular file at that revision", shown.display());
            return Err(InputError::new(problem, "name the file itself").into());
        }
        let text = self.git(&["cat-file", "blob"], OsStr::new(object))?.checked()?;
        Source::read_from(&shown, text.as_slice()).map(Some)
    }

    /// Runs git in the folder, with a last argument that may be hostile.
    fn git(&self, arguments: &[&str], last: &OsStr) -> Result<Ended> {
        let owner = self.owner()?;
        let mut git = Command::new("git");
        git.env_clear().envs(ENVIRONMENT).kill_on_drop(true).current_dir(&self.folder);
        git.args(CONFIGURATION).args(arguments).arg(last);
        git.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        if nix::unistd::geteuid().is_root() {
            git.uid(owner.uid()).gid(owner.gid());
        }
        let runtime = Builder::new_current_thread().enable_all().build().context("start the runtime")?;
        let ended = runtime.block_on(async { tokio::time::timeout(PATIENCE, run(git)).await });
        let too_late = || CannotMeasure::Deadline { what: "the end of git".to_owned(), seconds: PATIENCE.as_secs() };
        ended.map_err(|_| too_late())?
    }

    /// The `.git` of the nearest folder that has one: git refuses a repository of another user.
    fn owner(&self) -> Result<fs::Metadata> {
        let folder = self.folder.canonicalize().map_err(|error| unreadable(&self.folder, &error))?;
        let found = folder.ancestors().find_map(|above| fs::symlink_metadata(above.join(".git")).ok());
        let problem = || format!("{} is in no git repository", self.folder.display());
        let hint = "--git compares a file with an older one of its repository; without one, name both files";
        Ok(found.ok_or_else(|| InputError::new(problem(), hint))?)
    }

    fn not_found(&self) -> InputError {
        let problem = format!("git knows no revision `{}` in {}", self.name, self.folder.display());
        InputError::new(
            problem,
            "`git log` lists commits; a shallow clone, as in CI, lacks older ones: fetch them first",
        )
    }
}

/// The end of git.
struct Ended {
    status: Option<i32>,
    output: Vec<u8>,
    errors: Vec<u8>,
}

impl Ended {
    fn checked(self) -> Result<Vec<u8>> {
        if self.status == Some(0) {
            return Ok(self.output);
        }
        let said = String::from_utf8_lossy(&self.errors).trim().to_owned();
        Err(InputError::new(format!("git failed: {said}"), "does `git status` work in that folder?").into())
    }
}

async fn run(mut git: Command) -> Result<Ended> {
    let mut child = git.spawn().map_err(cannot_start)?;
    let (stdout, stderr) = (child.stdout.take().expect("it is piped"), child.stderr.take().expect("it is piped"));
    // A file that is larger is refused by its size.
    let (mut output, mut errors) = (Vec::new(), Vec::new());
    let (mut stdout, mut stderr) = (stdout.take(Source::LIMIT + 1), stderr.take(LONGEST_MESSAGE));
    let read = tokio::try_join!(stdout.read_to_end(&mut output), stderr.read_to_end(&mut errors));
    read.context("read what git prints")?;
    drop((stdout, stderr));
    let status = child.wait().await.context("wait for git")?.code();
    let is_cut = output.len() as u64 > Source::LIMIT;
    Ok(Ended { status: if is_cut { Some(0) } else { status }, output, errors })
}

const LONGEST_MESSAGE: u64 = 4096;

/// No file of the user's configuration, no object from elsewhere, no pattern in a file name, English messages.
const ENVIRONMENT: [(&str, &str); 9] = [
    ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
    ("LC_ALL", "C"),
    ("GIT_CONFIG_GLOBAL", "/dev/null"),
    ("GIT_ALLOW_PROTOCOL", "none"),
    ("GIT_NO_LAZY_FETCH", "1"),
    ("GIT_TERMINAL_PROMPT", "0"),
    ("GIT_OPTIONAL_LOCKS", "0"),
    ("GIT_LITERAL_PATHSPECS", "1"),
    ("GIT_NO_REPLACE_OBJECTS", "1"),
];

/// No program that the repository names.
const CONFIGURATION: [&str; 5] = ["--no-pager", "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null"];

fn cannot_start(error: io::Error) -> crate::error::Error {
    match error.kind() {
        io::ErrorKind::NotFound => CannotMeasure::NoProgram { program: "git".to_owned(), package: "git" }.into(),
        _ => CannotMeasure::System { operation: "run git".to_owned(), source: error }.into(),
    }
}

fn unreadable(folder: &Path, error: &io::Error) -> InputError {
    InputError::new(format!("cannot read {}: {error}", folder.display()), "name a file in a folder that is there")
}
