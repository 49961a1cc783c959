//! The lab of network namespaces and what the test rings share.

pub mod lab;
