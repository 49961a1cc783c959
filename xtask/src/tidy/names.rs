//! Checks of the words in code: macros and attributes that leave work undone or hide a warning,
//! and names that say nothing. Comments and strings are not code and may hold any word.

use std::path::Path;

use proc_macro2::{Delimiter, Ident, Span, TokenStream, TokenTree};

use super::Finding;

const MACROS: [&str; 3] = ["todo", "unimplemented", "dbg"];
const EMPTY_NAMES: [&str; 4] = ["utils", "helpers", "manager", "misc"];
const EMPTY_SUFFIXES: [&str; 4] = ["Utils", "Helpers", "Manager", "Misc"];
/// Words that a declared name follows.
const DECLARATIONS: [&str; 11] = [
    "mod", "fn", "struct", "enum", "union", "trait", "type", "const", "static", "let", "mut",
];

/// Checks the name of a file and of the directories it is in.
pub(super) fn check_path(path: &Path) -> Option<Finding> {
    let mut names = path
        .iter()
        .filter_map(|name| Path::new(name).file_stem()?.to_str());
    let name = names.find(|name| is_empty_name(name))?;
    Some(Finding::new(1, empty_name(name)))
}

/// Checks all code of a file.
pub(super) fn check(tokens: &TokenStream) -> Vec<Finding> {
    let mut findings = Vec::new();
    walk(tokens.clone(), &mut findings);
    findings
}

fn walk(tokens: TokenStream, findings: &mut Vec<Finding>) {
    let tokens: Vec<_> = tokens.into_iter().collect();
    for (at, token) in tokens.iter().enumerate() {
        let rest = &tokens[at + 1..];
        match token {
            TokenTree::Group(group) => walk(group.stream(), findings),
            TokenTree::Punct(punct) if punct.as_char() == '#' => {
                findings.extend(attribute(rest).and_then(check_attribute));
            }
            TokenTree::Ident(word) => {
                findings.extend(check_macro(word, rest));
                findings.extend(check_declaration(word, rest));
            }
            _ => {}
        }
    }
}

fn check_macro(word: &Ident, rest: &[TokenTree]) -> Option<Finding> {
    let called = is_punct(rest.first(), '!') && matches!(rest.get(1), Some(TokenTree::Group(_)));
    if !called || MACROS.iter().all(|banned| word != banned) {
        return None;
    }
    Some(finding(
        word.span(),
        format!("`{word}!`, finish the work or leave it out"),
    ))
}

fn check_declaration(word: &Ident, rest: &[TokenTree]) -> Option<Finding> {
    if DECLARATIONS.iter().all(|declaration| word != declaration) {
        return None;
    }
    let Some(TokenTree::Ident(name)) = rest.first() else {
        return None;
    };
    let text = name.to_string();
    is_empty_name(&text).then(|| finding(name.span(), empty_name(&text)))
}

/// The first word inside the brackets of `#[…]` or `#![…]`; `rest` is what follows the `#`.
fn attribute(rest: &[TokenTree]) -> Option<Ident> {
    let inner = usize::from(is_punct(rest.first(), '!'));
    let Some(TokenTree::Group(group)) = rest.get(inner) else {
        return None;
    };
    if group.delimiter() != Delimiter::Bracket {
        return None;
    }
    match group.stream().into_iter().next() {
        Some(TokenTree::Ident(name)) => Some(name),
        _ => None,
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is mapped over an Option")]
fn check_attribute(name: Ident) -> Option<Finding> {
    let remedy = if name == "allow" {
        "use `expect` with a reason, or do what the lint asks"
    } else if name == "ignore" {
        "make the test pass everywhere, or print why it skips"
    } else {
        return None;
    };
    Some(finding(
        name.span(),
        format!("attribute `{name}`, {remedy}"),
    ))
}

fn is_empty_name(name: &str) -> bool {
    EMPTY_NAMES.contains(&name) || EMPTY_SUFFIXES.iter().any(|suffix| name.ends_with(suffix))
}

fn empty_name(name: &str) -> String {
    format!("the name `{name}` says nothing, name it after what it does")
}

fn is_punct(token: Option<&TokenTree>, character: char) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == character)
}

fn finding(span: Span, message: String) -> Finding {
    Finding::new(span.start().line, message)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    const NONE: [usize; 0] = [];

    fn lines(code: &str) -> Vec<usize> {
        check(&code.parse().unwrap())
            .iter()
            .map(|finding| finding.line)
            .collect()
    }

    #[test]
    fn unfinished_work_is_found() {
        for name in MACROS {
            assert_eq!(
                lines(&format!("fn f() {{\n    {name}!(1)\n}}")),
                [2],
                "{name}"
            );
            assert_eq!(lines(&format!("vec![\n{name}![]]")), [2], "{name}");
            assert_eq!(
                lines(&format!("// {name}!()\nconst A: &str = \"{name}!()\";")),
                NONE
            );
            assert_eq!(lines(&format!("fn {name}() {{}}")), NONE);
        }
    }

    #[test]
    fn hidden_warnings_and_tests_are_found() {
        assert_eq!(lines("#![allow(dead_code)]"), [1]);
        assert_eq!(lines("mod m {\n#[allow(dead_code)]\nfn f() {} }"), [2]);
        assert_eq!(lines("#[test]\n#[ignore = \"slow\"]\nfn f() {}"), [2]);
        assert_eq!(
            lines("#[expect(dead_code, reason = \"allow\")]\nfn allow() {}"),
            NONE
        );
    }

    #[test]
    fn empty_names_are_found_where_they_are_declared() {
        for name in EMPTY_NAMES {
            assert_eq!(lines(&format!("mod {name};")), [1], "{name}");
            assert_eq!(
                lines(&format!("fn f() {{ let mut {name} = 1; }}")),
                [1],
                "{name}"
            );
            assert_eq!(lines(&format!("use aya_ebpf::{name}::f;")), NONE, "{name}");
        }
        assert_eq!(lines("struct ServiceManager;"), [1]);
        assert_eq!(lines("struct Managers; fn miscount() {}"), NONE);
    }

    #[test]
    fn empty_file_names_are_found() {
        assert!(check_path(Path::new("src/utils.rs")).is_some());
        assert!(check_path(Path::new("src/helpers/mod.rs")).is_some());
        assert_eq!(check_path(Path::new("src/tidy/text.rs")), None);
    }
}
