//! What the XDP program and its controller share.
#![no_std]
