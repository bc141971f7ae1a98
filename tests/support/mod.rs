//! Support for several test programs.

// Each program uses only a part of it.
#![allow(dead_code)]

pub mod binary;
pub mod chromium;
pub mod hosts;
pub mod input;
pub mod machine;
pub mod ordinary;
pub mod random_rulesets;
pub mod schemas;
