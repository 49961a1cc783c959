//! The controller: from the document to the kernel's maps, and everything a user sees.

pub mod api;
pub mod cli;
pub mod compile;
pub mod crypto;
pub mod daemon;
pub mod dataplane;
pub mod doctor;
pub mod document;
pub mod exit;
pub mod health;
pub mod ids;
pub mod metrics;
pub mod reconcile;
pub mod route;
pub mod tables;
pub mod trace;
