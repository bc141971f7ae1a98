//! What each subcommand measures, without a screen: runs, scans, pre-deploy checks, mutation tests, recordings, comparisons,
//! lessons, the self-test, and the reader of the live machine.

pub mod diff;
pub mod live;
pub mod mutate;
pub mod parallel;
pub mod predeploy;
pub mod record;
pub mod run;
pub mod scan;
pub mod selftest;
pub mod teach;
