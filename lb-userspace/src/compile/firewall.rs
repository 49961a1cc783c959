//! The firewall's rules as rows of bits, one dimension after the other.
//!
//! Position 0 is the rule `block` while anything is blocked; the document's rules follow.

use lb_common::abi::limits::ROWS;
use lb_common::abi::{Action, Rule};

use super::rows::{Rows, row};
use super::{CompileError, ports, prefixes};
use crate::document::{self, AddressMatch, Firewall};
use crate::ids::{BLOCK_RULE, Ids};
use crate::tables::FirewallTables;

/// Compiles the firewall.
pub(super) fn compile(firewall: &Firewall, ids: &Ids) -> Result<FirewallTables, CompileError> {
    let block = block_rule(firewall);
    let rules: Vec<&document::Rule> = block.iter().chain(&firewall.rules).collect();
    if rules.is_empty() {
        return Ok(FirewallTables::default());
    }
    let mut rows = Rows::default();
    // The engine takes row 0 for dimensions that no rule asks about.
    rows.number(row(rules.len(), |_| true));
    let sources: Vec<&AddressMatch> = rules.iter().map(|rule| &rule.source).collect();
    let destinations: Vec<&AddressMatch> = rules.iter().map(|rule| &rule.destination).collect();
    let tables = FirewallTables {
        sources: prefixes::compile(&sources, &mut rows),
        destinations: prefixes::compile(&destinations, &mut rows),
        ports: ports::compile(&rules, &mut rows),
        rules: rules.iter().map(|rule| compile_rule(rule, ids)).collect(),
        rows: Vec::new(),
    };
    if rows.len() > ROWS as usize {
        return Err(CompileError::TooManyRows {
            rows: rows.len(),
            limit: ROWS,
        });
    }
    Ok(FirewallTables {
        rows: rows.into_vec(),
        ..tables
    })
}

/// The rule that blocks stand for, if there are any.
fn block_rule(firewall: &Firewall) -> Option<document::Rule> {
    let within: Vec<_> = firewall.blocks.iter().map(|block| block.prefix).collect();
    (!within.is_empty()).then(|| document::Rule {
        name: BLOCK_RULE.to_owned(),
        source: AddressMatch {
            within: Some(within),
            ..AddressMatch::default()
        },
        destination: AddressMatch::default(),
        protocol: None,
        port: Vec::new(),
        source_port: Vec::new(),
        action: document::Action::Drop,
    })
}

fn compile_rule(rule: &document::Rule, ids: &Ids) -> Rule {
    Rule {
        id: ids.rule(&rule.name),
        action: match rule.action {
            document::Action::Accept => Action::ACCEPT,
            document::Action::Drop => Action::DROP,
        },
    }
}
