//! What the XDP program and its controller share: the layout of every map, checked views of
//! packet headers, and the packet engine itself.
//!
//! The engine is generic over two traits, [`datapath::Frame`] and [`datapath::Env`], and is
//! compiled both for the kernel and for the host. Nothing here names a system call, a map or an
//! XDP return code.
#![no_std]
#![deny(unsafe_code)]

pub mod abi;
pub mod datapath;
pub mod decapsulation;
pub mod wire;
