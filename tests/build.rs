//! Compiles the program that `packet-cost` puts in front of the balancer.

#[path = "../xtask/src/object.rs"]
mod object;
#[path = "../xtask/src/toolchain.rs"]
mod toolchain;

fn main() -> anyhow::Result<()> {
    object::compile("front")
}
