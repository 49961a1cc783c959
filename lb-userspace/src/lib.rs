//! The controller: from the document to the kernel's maps, and everything a user sees.

pub mod api;
pub mod document;
pub mod health;
pub mod route;
