//! The measurements of each subcommand, without a screen: runs, scans, pre-deploy checks, mutation tests, recordings,
//! comparisons, lessons, the self-test, and the reader of the live machine.

pub(crate) mod chance;
pub(crate) mod diff;
pub(crate) mod init;
pub(crate) mod live;
pub(crate) mod mutate;
pub(crate) mod parallel;
pub(crate) mod predeploy;
pub(crate) mod record;
pub(crate) mod run;
pub(crate) mod scan;
pub mod selftest;
pub(crate) mod teach;
