//! What each subcommand measures, without a screen: runs, scans, pre-deploy checks, mutation tests, recordings, comparisons,
//! lessons, the self-test, and the reader of the live machine.

pub mod diff;
pub mod lesson;
pub mod live;
pub mod mutate;
pub mod predeploy;
pub mod record;
pub mod run;
pub mod selftest;
pub mod side_by_side;
pub mod survey;
