//! The dimensions of addresses: every prefix that any rule names, with the rules that accept the
//! addresses for which it is the longest.

use std::collections::BTreeMap;

use ipnet::IpNet;
use lb_common::abi::Row;

use super::rows::{Rows, row, set};
use crate::document::AddressMatch;
use crate::tables::Prefixes;

/// The rules that name a prefix.
#[derive(Clone)]
struct Mention {
    /// Rules whose match lies within the prefix.
    within: Row,
    /// Rules whose match lies outside of it.
    outside: Row,
}

impl Default for Mention {
    fn default() -> Self {
        Self {
            within: Row::NONE,
            outside: Row::NONE,
        }
    }
}

/// Compiles one dimension; `None` if no rule asks.
pub(super) fn compile(matches: &[&AddressMatch], rows: &mut Rows) -> Option<Prefixes> {
    if matches
        .iter()
        .all(|m| m.within.is_none() && m.outside.is_empty())
    {
        return None;
    }
    // Ordered by address, then length: a prefix comes before all that it covers.
    let mut mentions: BTreeMap<IpNet, Mention> = BTreeMap::new();
    for (rule, wanted) in matches.iter().enumerate() {
        for prefix in wanted.within.iter().flatten() {
            set(&mut mentions.entry(*prefix).or_default().within, rule);
        }
        for prefix in &wanted.outside {
            set(&mut mentions.entry(*prefix).or_default().outside, rule);
        }
    }
    let anywhere = row(matches.len(), |rule| matches[rule].within.is_none());
    let uncovered = rows.number(anywhere);
    let mut compiled = Prefixes {
        uncovered_v4: uncovered,
        uncovered_v6: uncovered,
        ..Prefixes::default()
    };
    // The prefixes that cover the current one, the longest last, each with all mentions so far.
    let mut covering: Vec<(IpNet, Mention)> = Vec::new();
    for (prefix, own) in mentions {
        while covering
            .last()
            .is_some_and(|(outer, _)| !outer.contains(&prefix))
        {
            covering.pop();
        }
        let mut all = covering
            .last()
            .map(|(_, mention)| mention.clone())
            .unwrap_or_default();
        let mut accepted = Row::NONE;
        for word in 0..accepted.words.len() {
            all.within.words[word] |= own.within.words[word];
            all.outside.words[word] |= own.outside.words[word];
            accepted.words[word] =
                (anywhere.words[word] | all.within.words[word]) & !all.outside.words[word];
        }
        let number = rows.number(accepted);
        match prefix {
            IpNet::V4(p) => compiled
                .v4
                .push((p.network().octets(), p.prefix_len(), number)),
            IpNet::V6(p) => compiled
                .v6
                .push((p.network().octets(), p.prefix_len(), number)),
        }
        covering.push((prefix, all));
    }
    Some(compiled)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::net::IpAddr;

    use super::*;

    fn prefixes(texts: &[&str]) -> Vec<IpNet> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn within(texts: &[&str]) -> AddressMatch {
        AddressMatch {
            within: Some(prefixes(texts)),
            ..AddressMatch::default()
        }
    }

    fn outside(texts: &[&str]) -> AddressMatch {
        AddressMatch {
            outside: prefixes(texts),
            ..AddressMatch::default()
        }
    }

    /// The plain definition of [`AddressMatch`].
    fn accepts(wanted: &AddressMatch, address: IpAddr) -> bool {
        let inside = |prefixes: &[IpNet]| prefixes.iter().any(|p| p.contains(&address));
        wanted.within.as_deref().is_none_or(inside) && !inside(&wanted.outside)
    }

    /// What the program does with the compiled form.
    fn lookup(compiled: &Prefixes, rows: &[Row], address: IpAddr) -> u64 {
        let mut best = (
            0,
            if address.is_ipv4() {
                compiled.uncovered_v4
            } else {
                compiled.uncovered_v6
            },
        );
        let v4 = compiled
            .v4
            .iter()
            .map(|(a, l, r)| (IpAddr::from(*a), *l, *r));
        let v6 = compiled
            .v6
            .iter()
            .map(|(a, l, r)| (IpAddr::from(*a), *l, *r));
        for (network, length, row) in v4.chain(v6) {
            let covers = IpNet::new(network, length).unwrap().contains(&address);
            if covers && length >= best.0 {
                best = (length, row);
            }
        }
        rows[best.1 as usize].words[0]
    }

    #[test]
    fn every_address_selects_exactly_the_rules_that_accept_it() {
        let matches = [
            within(&["10.0.0.0/8", "2001:db8::/32"]),
            outside(&["10.1.0.0/16"]),
            AddressMatch {
                within: Some(prefixes(&["10.1.0.0/16"])),
                ..outside(&["10.1.2.0/24"])
            },
            within(&[]),
            AddressMatch::default(),
            within(&["10.1.2.3/32", "0.0.0.0/0"]),
        ];
        let references: Vec<&AddressMatch> = matches.iter().collect();
        let mut rows = Rows::default();
        let compiled = compile(&references, &mut rows).unwrap();
        let rows = rows.into_vec();
        for text in [
            "10.0.0.1",
            "10.1.0.1",
            "10.1.2.1",
            "10.1.2.3",
            "11.0.0.1",
            "9.255.255.255",
            "2001:db8::1",
            "2001:db9::1",
            "::",
        ] {
            let address: IpAddr = text.parse().unwrap();
            let expected = matches
                .iter()
                .enumerate()
                .filter(|(_, wanted)| accepts(wanted, address))
                .fold(0, |bits, (rule, _)| bits | 1_u64 << rule);
            assert_eq!(lookup(&compiled, &rows, address), expected, "{text}");
        }
    }

    #[test]
    fn a_dimension_nobody_asks_about_costs_nothing() {
        let any = AddressMatch::default();
        assert_eq!(compile(&[&any, &any], &mut Rows::default()), None);
    }
}
