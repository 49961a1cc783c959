//! The controller: from the document to the kernel's maps, and everything a user sees.

pub mod api;
pub mod cli;
pub mod document;
pub mod exit;
pub mod metrics;
pub mod tables;
