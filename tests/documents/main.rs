//! Tests of documentation and distributed files: pages, samples, schemas, formats, manual pages, and complete tasks of
//! users.

#[path = "../support/mod.rs"]
mod support;

mod ci_docs;
mod ci_formats;
mod deploy;
mod html_page;
mod journey_ci;
mod journey_class;
mod journey_pi;
mod manual;
mod pages;
mod reports;
mod schema;
