//! Checks of a file's items: the length of functions, and a reason for every unsafe block.

use proc_macro2::{Delimiter, Span, TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Block, ImplItemFn, ItemFn, Signature, TraitItemFn};

use super::Finding;

/// Longer functions do not fit a screen.
const FUNCTION_LINES_MAX: usize = 70;

/// Lines between an unsafe block's comment and the block, within one statement.
const STATEMENT_LINES_MAX: usize = 8;

/// Checks a file; `text` is what `tokens` were read from.
pub(super) fn check(tokens: TokenStream, text: &str) -> Vec<Finding> {
    let lines: Vec<_> = text.lines().map(str::trim).collect();
    let mut findings = Vec::new();
    check_unsafe(tokens.clone(), &lines, &mut findings);
    match syn::parse2::<syn::File>(tokens) {
        Ok(file) => {
            let mut functions = Functions { findings };
            functions.visit_file(&file);
            functions.findings
        }
        Err(error) => {
            let line = error.span().start().line;
            findings.push(Finding::new(line, format!("not Rust: {error}; correct it")));
            findings
        }
    }
}

/// Finds functions that are too long.
struct Functions {
    findings: Vec<Finding>,
}

impl Functions {
    fn measure(&mut self, signature: &Signature, body: &Block) {
        let first = signature.fn_token.span.start().line;
        let last = body.brace_token.span.close().end().line;
        let lines = last - first + 1;
        if lines > FUNCTION_LINES_MAX {
            let name = &signature.ident;
            self.findings.push(Finding::new(
                first,
                format!("`{name}` has {lines} lines, over {FUNCTION_LINES_MAX}: split it"),
            ));
        }
    }
}

impl<'ast> Visit<'ast> for Functions {
    fn visit_item_fn(&mut self, function: &'ast ItemFn) {
        self.measure(&function.sig, &function.block);
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast ImplItemFn) {
        self.measure(&function.sig, &function.block);
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_trait_item_fn(&mut self, function: &'ast TraitItemFn) {
        if let Some(body) = &function.default {
            self.measure(&function.sig, body);
        }
        visit::visit_trait_item_fn(self, function);
    }
}

/// Finds unsafe blocks and unsafe implementations without a `SAFETY:` comment, inside macro
/// calls as well.
fn check_unsafe(tokens: TokenStream, lines: &[&str], findings: &mut Vec<Finding>) {
    let tokens: Vec<_> = tokens.into_iter().collect();
    for (at, token) in tokens.iter().enumerate() {
        match token {
            TokenTree::Group(group) => check_unsafe(group.stream(), lines, findings),
            TokenTree::Ident(word)
                if word == "unsafe"
                    && asserts(tokens.get(at + 1))
                    && !is_justified(word.span(), lines) =>
            {
                findings.push(Finding::new(
                    word.span().start().line,
                    "unsafe without a reason, say above it why it is sound: `// SAFETY: …`",
                ));
            }
            _ => {}
        }
    }
}

/// Whether what follows `unsafe` is a block or an implementation, where we promise something; a
/// function or trait declared unsafe asks its caller to.
fn asserts(next: Option<&TokenTree>) -> bool {
    match next {
        Some(TokenTree::Group(group)) => group.delimiter() == Delimiter::Brace,
        Some(TokenTree::Ident(word)) => word == "impl",
        _ => false,
    }
}

/// Whether the comment above the statement that holds `span` has a line with `SAFETY:`.
fn is_justified(span: Span, lines: &[&str]) -> bool {
    let above = &lines[..span.start().line - 1];
    let statement = above
        .iter()
        .rev()
        .take(STATEMENT_LINES_MAX)
        .take_while(|line| !line.starts_with("//") && !line.ends_with([';', '}']))
        .count();
    let comment = above.iter().rev().skip(statement);
    comment
        .take_while(|line| line.starts_with("//"))
        .any(|line| line.contains("SAFETY:"))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    const NONE: [usize; 0] = [];

    fn lines(code: &str) -> Vec<usize> {
        check(code.parse().unwrap(), code)
            .iter()
            .map(|finding| finding.line)
            .collect()
    }

    /// A function of `lines` lines.
    fn function(lines: usize) -> String {
        format!("fn f() {{{}}}\n", "\n".repeat(lines - 1))
    }

    #[test]
    fn long_functions_are_found_wherever_they_are() {
        assert_eq!(lines(&function(70)), NONE);
        assert_eq!(lines(&function(71)), [1]);
        assert_eq!(lines(&format!("\nimpl A {{\n{}}}", function(71))), [3]);
        assert_eq!(lines(&format!("trait A {{\n{}}}", function(71))), [2]);
        assert_eq!(lines(&format!("fn f() {{\n{}}}", function(68))), NONE);
    }

    #[test]
    fn attributes_and_documentation_do_not_count_as_the_function() {
        assert_eq!(
            lines(&format!("/// Text.\n#[inline]\n{}", function(70))),
            NONE
        );
    }

    #[test]
    fn unsafe_blocks_need_a_reason() {
        assert_eq!(lines("fn f() {\n    unsafe { g() }\n}"), [2]);
        assert_eq!(
            lines("// SAFETY: far away.\n\nfn h() {}\nfn f() {\n    unsafe { g() }\n}"),
            [5]
        );
        assert_eq!(
            lines("fn f() {\n    // SAFETY: g asks nothing.\n    unsafe { g() }\n}"),
            NONE
        );
        assert_eq!(
            lines("fn f() {\n// SAFETY: g asks\n// nothing.\nlet a =\nunsafe { g() };\n}"),
            NONE
        );
    }

    #[test]
    fn unsafe_implementations_need_a_reason_and_declarations_do_not() {
        assert_eq!(lines("unsafe impl Send for A {}"), [1]);
        assert_eq!(
            lines("// SAFETY: it is a number.\nunsafe impl Send for A {}"),
            NONE
        );
        assert_eq!(lines("unsafe fn f() {}\nunsafe trait T {}"), NONE);
    }

    #[test]
    fn unsafe_inside_a_macro_call_is_found() {
        assert_eq!(
            lines("fn f() {\n    assert_eq!(unsafe { g() }, 1);\n}"),
            [2]
        );
    }
}
