//! Compiles the programs that serve measuring: what `packet-cost` puts in front of the balancer, and
//! both ends of the cable of `side-by-side`.

#[path = "../xtask/src/object.rs"]
mod object;
#[path = "../xtask/src/toolchain.rs"]
mod toolchain;

fn main() -> anyhow::Result<()> {
    object::compile("front")?;
    object::compile("generator")
}
