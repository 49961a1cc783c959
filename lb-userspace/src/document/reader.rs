//! Reads values out of the parsed text, noting what has the wrong type, is missing or is unknown.
//!
//! A reader answers `None` only after it has noted why. It knows TOML, and no key of the document.

use std::ops::{Range, RangeInclusive};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::names::Word;
use super::report::{Report, nearest, one_of};

/// A value of the text, with where it stands and the path of its key.
#[derive(Debug, Clone)]
pub(super) struct Node<'a> {
    value: &'a DeValue<'a>,
    pub(super) span: Range<usize>,
    pub(super) path: String,
}

impl<'a> Node<'a> {
    /// Notes that this value is wrong.
    pub(super) fn wrong(
        &self,
        report: &mut Report<'_>,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        report.push(self.span.clone(), &self.path, message, remedy);
    }

    fn wrong_type(&self, report: &mut Report<'_>, wanted: &str, remedy: &str) {
        let found = with_article(self.value.type_str());
        self.wrong(
            report,
            format!("this is {found}; {wanted} is wanted"),
            remedy,
        );
    }

    pub(super) fn is_list(&self) -> bool {
        self.value.is_array()
    }

    pub(super) fn is_string(&self) -> bool {
        self.value.is_str()
    }

    pub(super) fn string(&self, report: &mut Report<'_>, remedy: &str) -> Option<&'a str> {
        let text = self.value.as_str();
        if text.is_none() {
            self.wrong_type(report, "a string", remedy);
        }
        text
    }

    pub(super) fn boolean(&self, report: &mut Report<'_>) -> Option<bool> {
        let value = self.value.as_bool();
        if value.is_none() {
            self.wrong_type(
                report,
                "a boolean",
                "write `true` or `false`, without quotes",
            );
        }
        value
    }

    /// An integer in `range`.
    pub(super) fn number<T>(&self, report: &mut Report<'_>, range: RangeInclusive<T>) -> Option<T>
    where
        T: Copy + PartialOrd + TryFrom<i64> + std::fmt::Display,
    {
        let (first, last) = (range.start(), range.end());
        let remedy = format!("write a number from {first} to {last}, without quotes");
        let DeValue::Integer(integer) = self.value else {
            self.wrong_type(report, "a number", &remedy);
            return None;
        };
        let number = i64::from_str_radix(integer.as_str(), integer.radix())
            .ok()
            .and_then(|number| T::try_from(number).ok())
            .filter(|number| range.contains(number));
        if number.is_none() {
            self.wrong(report, format!("{integer} is out of range"), remedy);
        }
        number
    }

    /// An instant; the text must give its offset from UTC.
    pub(super) fn instant(&self, report: &mut Report<'_>) -> Option<jiff::Timestamp> {
        let remedy = "write a date, a time and an offset, such as 2030-01-31T18:00:00Z, without \
                      quotes";
        let Some(datetime) = self.value.as_datetime() else {
            self.wrong_type(report, "a date and time", remedy);
            return None;
        };
        if datetime.date.is_none() || datetime.time.is_none() || datetime.offset.is_none() {
            let message = format!("{datetime} leaves open which instant is meant");
            self.wrong(report, message, remedy);
            return None;
        }
        let instant = datetime.to_string().parse().ok();
        if instant.is_none() {
            self.wrong(report, format!("{datetime} is not an instant"), remedy);
        }
        instant
    }

    /// One of the words that `T` has.
    pub(super) fn word<T: Word>(&self, report: &mut Report<'_>) -> Option<T> {
        let words = T::WORDS.iter().map(|(word, _)| *word);
        let remedy = format!("write {}", one_of(words.clone()));
        let text = self.string(report, &remedy)?;
        let found = T::WORDS.iter().find(|(word, _)| *word == text);
        if found.is_none() {
            let remedy = match nearest(text, words) {
                Some(word) => format!("did you mean `{word}`? {remedy}"),
                None => remedy,
            };
            self.wrong(report, format!("`{text}` is not known here"), remedy);
        }
        found.map(|(_, value)| *value)
    }

    /// The items of a list.
    pub(super) fn list(&self, report: &mut Report<'_>, remedy: &str) -> Option<Vec<Self>> {
        let Some(items) = self.value.as_array() else {
            self.wrong_type(report, "a list", remedy);
            return None;
        };
        let nodes = items.iter().enumerate().map(|(index, item)| Self {
            value: item.get_ref(),
            span: item.span(),
            path: format!("{}[{index}]", self.path),
        });
        Some(nodes.collect())
    }

    /// The items of a list, or the value itself as the only one.
    pub(super) fn one_or_many(&self, report: &mut Report<'_>) -> Vec<Self> {
        if self.is_list() {
            self.list(report, "").unwrap_or_default()
        } else {
            vec![self.clone()]
        }
    }

    /// A table that has no other keys than `known`.
    pub(super) fn table(
        &self,
        report: &mut Report<'_>,
        known: &'static [&'static str],
        remedy: &str,
    ) -> Option<Table<'a>> {
        let Some(entries) = self.value.as_table() else {
            self.wrong_type(report, "a table", remedy);
            return None;
        };
        let table = Table {
            entries,
            span: self.span.clone(),
            path: self.path.clone(),
        };
        table.refuse_unknown(report, known);
        Some(table)
    }
}

/// A table of the text.
#[derive(Debug, Clone)]
pub(super) struct Table<'a> {
    entries: &'a DeTable<'a>,
    pub(super) span: Range<usize>,
    pub(super) path: String,
}

impl<'a> Table<'a> {
    /// The whole document.
    pub(super) fn root(
        entries: &'a Spanned<DeTable<'a>>,
        report: &mut Report<'_>,
        known: &'static [&'static str],
    ) -> Self {
        let table = Self {
            entries: entries.get_ref(),
            span: 0..0,
            path: String::new(),
        };
        table.refuse_unknown(report, known);
        table
    }

    /// The value of a key.
    pub(super) fn find(&self, key: &str) -> Option<Node<'a>> {
        let value = self.entries.get(key)?;
        Some(Node {
            value: value.get_ref(),
            span: value.span(),
            path: self.path_of(key),
        })
    }

    /// The value of a key that must be there.
    pub(super) fn require(
        &self,
        report: &mut Report<'_>,
        key: &str,
        remedy: &str,
    ) -> Option<Node<'a>> {
        let node = self.find(key);
        if node.is_none() {
            let message = format!("the key `{key}` is missing");
            report.push(self.span.clone(), &self.path, message, remedy);
        }
        node
    }

    /// The items of an optional list of tables.
    pub(super) fn tables(&self, report: &mut Report<'_>, key: &str) -> Vec<Node<'a>> {
        let path = self.path_of(key);
        self.find(key)
            .and_then(|node| {
                let remedy = format!("begin each with a line [[{path}]], two brackets");
                node.list(report, &remedy)
            })
            .unwrap_or_default()
    }

    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }

    fn refuse_unknown(&self, report: &mut Report<'_>, known: &'static [&'static str]) {
        for key in self.entries.keys() {
            let name = key.get_ref();
            if known.contains(&name.as_ref()) {
                continue;
            }
            let remedy = match nearest(name, known.iter().copied()) {
                Some(word) => format!("did you mean `{word}`?"),
                None => format!("remove it; keys here are {}", known.join(", ")),
            };
            let message = format!("the key `{name}` is not known");
            report.push(key.span(), &self.path_of(name), message, remedy);
        }
    }
}

/// A TOML type's name with its article.
fn with_article(kind: &str) -> String {
    let kind = if kind == "datetime" {
        "date or time"
    } else {
        kind
    };
    let article = if kind.starts_with(['a', 'i']) {
        "an"
    } else {
        "a"
    };
    format!("{article} {kind}")
}
