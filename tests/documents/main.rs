//! What is documented and handed out: pages, samples, schemas, formats, manual pages, and the journeys of users.

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
