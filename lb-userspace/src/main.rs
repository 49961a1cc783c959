//! The binary `lb`: parses the command line, runs it, and says how it ended.

use std::process::ExitCode;

use clap::Parser as _;
use lb_userspace::cli::{self, Cli};
use lb_userspace::exit::Exit;

fn main() -> ExitCode {
    match cli::run(Cli::parse()) {
        Ok(()) => Exit::Done.into(),
        Err(error) => {
            // Several lines rather than one: a document's error has a line of its own each.
            eprintln!("error: {error}");
            for cause in error.chain().skip(1) {
                eprintln!("  because: {cause}");
            }
            Exit::of(&error).into()
        }
    }
}
