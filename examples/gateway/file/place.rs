//! Finds the line of each field in a TOML text.

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// The fields of a text, such as `providers[1].timeout`, and their offsets.
pub(crate) struct Fields<'a> {
    text: &'a str,
    begin: Vec<(usize, String)>,
}

impl<'a> Fields<'a> {
    /// Invalid TOML yields the fields that can be recovered.
    pub(crate) fn of(text: &'a str) -> Self {
        let (table, _) = DeTable::parse_recoverable(text);
        let mut begin = Vec::new();
        visit_table(table.get_ref(), "", &mut begin);
        begin.sort();
        Self { text, begin }
    }

    /// The line of an offset, and the last field that starts before it.
    pub(crate) fn at(&self, place: usize) -> (usize, &str) {
        let before = self.begin.iter().rfind(|(begin, _)| *begin <= place);
        let field = before.map_or("the file", |(_, field)| field);
        (self.line(place), field)
    }

    /// The line of a field, or of its nearest parent.
    pub(crate) fn line_of(&self, field: &str) -> usize {
        let around = |(_, other): &&(usize, String)| field.starts_with(other.as_str());
        let nearest = self
            .begin
            .iter()
            .filter(around)
            .max_by_key(|(_, other)| other.len());
        nearest.map_or(1, |(begin, _)| self.line(*begin))
    }

    fn line(&self, place: usize) -> usize {
        let before = &self.text.as_bytes()[..place.min(self.text.len())];
        1 + before.iter().filter(|&&byte| byte == b'\n').count()
    }
}

fn visit_table(table: &DeTable<'_>, path: &str, found: &mut Vec<(usize, String)>) {
    for (key, value) in table {
        let dot = if path.is_empty() { "" } else { "." };
        let path = format!("{path}{dot}{}", key.get_ref());
        visit(value, &path, found);
        found.push((key.span().start, path));
    }
}

fn visit(value: &Spanned<DeValue<'_>>, path: &str, found: &mut Vec<(usize, String)>) {
    match value.get_ref() {
        DeValue::Table(table) => visit_table(table, path, found),
        DeValue::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                let path = format!("{path}[{index}]");
                visit(item, &path, found);
                found.push((item.span().start, path));
            }
        }
        _ => (),
    }
}
