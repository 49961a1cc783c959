//! `cargo xtask verify`: how much of the kernel verifier's budget each XDP program takes.
//!
//! The kernel gives up after a million instructions, on paths that grow with each feature and
//! differ from kernel to kernel. A quarter of it is the limit here, which leaves room for both.

use std::process::Stdio;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::workspace::{Profile, Workspace};
use crate::{build, process, run};

/// `BPF_COMPLEXITY_LIMIT_INSNS` of kernels since 5.2.
const VERIFIER_LIMIT: u64 = 1_000_000;
/// What is allowed on the kernel that one develops on.
const OUR_LIMIT: u64 = VERIFIER_LIMIT / 4;
/// What is allowed on any other kernel, because some walk more paths.
pub(crate) const LIMIT_ELSEWHERE: u64 = VERIFIER_LIMIT / 2;

/// What the kernel said about one program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verified {
    pub(crate) program: String,
    pub(crate) instructions: u64,
    jited_bytes: u64,
    kernel: String,
    /// Features that are off there, because the kernel lacks what they need.
    pub(crate) off: Vec<String>,
}

/// Loads every program, prints a table, and fails for one that is over our limit.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let programs = build::programs(workspace, Profile::Release)?;
    let mut command = run::privileged(&programs.lb)?;
    // The verifier's log of a program it refuses goes to the terminal.
    command
        .args(["internal-verify", "--json"])
        .stderr(Stdio::inherit());
    let verified = parse(&process::output(&mut command)?)?;
    println!("{}", table(&verified));
    check(&verified, OUR_LIMIT)
}

/// Fails for a program that is over the limit.
pub(crate) fn check(verified: &[Verified], limit: u64) -> Result<()> {
    ensure!(!verified.is_empty(), "no program was verified");
    let over: Vec<_> = verified
        .iter()
        .filter(|one| one.instructions > limit)
        .collect();
    if !over.is_empty() {
        let names: Vec<_> = over.iter().map(|one| one.program.as_str()).collect();
        bail!("{} over {limit} verified instructions", names.join(", "));
    }
    Ok(())
}

fn table(verified: &[Verified]) -> String {
    let width = verified
        .iter()
        .map(|one| one.program.len())
        .max()
        .unwrap_or(0)
        .max(7);
    let mut lines = vec![format!(
        "{:width$}  verified  of limit  jited bytes  kernel",
        "program"
    )];
    for Verified {
        program,
        instructions,
        jited_bytes,
        kernel,
        ..
    } in verified
    {
        let tenths = instructions * 1000 / VERIFIER_LIMIT;
        let share = format!("{}.{} %", tenths / 10, tenths % 10);
        lines.push(format!(
            "{program:width$}  {instructions:>8}  {share:>8}  {jited_bytes:>11}  {kernel}"
        ));
    }
    lines.join("\n")
}

/// Reads the JSON objects that `lb` prints, one a program.
pub(crate) fn parse(text: &str) -> Result<Vec<Verified>> {
    let values = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    let mut verified = Vec::new();
    for value in values {
        match value.context("`lb internal-verify --json` printed something else")? {
            Value::Array(list) => {
                for value in &list {
                    verified.push(parse_one(value)?);
                }
            }
            value => verified.push(parse_one(&value)?),
        }
    }
    Ok(verified)
}

fn parse_one(value: &Value) -> Result<Verified> {
    let text = |key: &str| {
        value[key]
            .as_str()
            .map(str::to_owned)
            .with_context(|| missing(key))
    };
    let number = |key: &str| value[key].as_u64().with_context(|| missing(key));
    Ok(Verified {
        program: text("program")?,
        instructions: number("verified_instructions")?,
        jited_bytes: number("jited_bytes")?,
        kernel: text("kernel")?,
        off: strings(&value["off"]).with_context(|| missing("off"))?,
    })
}

fn strings(value: &Value) -> Option<Vec<String>> {
    let words = value.as_array()?.iter();
    words.map(|word| word.as_str().map(str::to_owned)).collect()
}

fn missing(key: &str) -> String {
    format!("`lb internal-verify --json` left out `{key}`")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    const SAMPLE: &str = r#"
        {"program": "lb", "verified_instructions": 13300, "jited_bytes": 9000, "kernel": "6.18.0", "off": []}
        {"program": "pass", "verified_instructions": 2, "jited_bytes": 20, "kernel": "6.18.0",
         "off": ["coarse-clock"]}"#;

    #[test]
    fn each_program_is_read_from_lines_or_a_list() {
        let lines = parse(SAMPLE).unwrap();
        assert_eq!(lines.len(), 2);
        assert_eq!(
            (lines[0].program.as_str(), lines[0].instructions),
            ("lb", 13_300)
        );
        assert_eq!((lines[0].off.len(), lines[1].off.len()), (0, 1));
        let list = format!("[{}]", SAMPLE.trim().replace("}\n", "},\n"));
        assert_eq!(parse(&list).unwrap(), lines);
    }

    #[test]
    fn a_missing_key_is_named() {
        let error = parse(r#"{"program": "lb"}"#).unwrap_err().to_string();
        assert!(error.contains("verified_instructions"), "{error}");
    }

    #[test]
    fn the_limit_is_a_quarter_of_the_verifiers() {
        let mut verified = parse(SAMPLE).unwrap();
        assert!(check(&verified, OUR_LIMIT).is_ok());
        verified[1].instructions = 250_000;
        assert!(check(&verified, OUR_LIMIT).is_ok());
        verified[1].instructions = 250_001;
        assert!(
            check(&verified, OUR_LIMIT)
                .unwrap_err()
                .to_string()
                .starts_with("pass over")
        );
        assert!(check(&[], OUR_LIMIT).is_err());
    }

    #[test]
    fn the_table_shows_the_share_of_the_limit() {
        let table = table(&parse(SAMPLE).unwrap());
        assert!(table.lines().nth(1).unwrap().contains("1.3 %"), "{table}");
    }
}
