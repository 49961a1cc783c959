//! Compiles the XDP programs, which the library embeds from `$OUT_DIR`.

#[path = "../xtask/src/object.rs"]
mod object;
#[path = "../xtask/src/toolchain.rs"]
mod toolchain;

fn main() -> anyhow::Result<()> {
    object::compile("lb-ebpf")?;
    object::compile("decap")
}
