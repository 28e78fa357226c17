//! The patterns of `${x#…}` and its like: `*`, `?` and characters.

/// A pattern that matches within one line: its wildcards stop at line breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern(Vec<Part>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Any,
    One,
    Exactly(char),
}

impl Pattern {
    /// Reads a pattern. The error is what follows a `\` and cannot be escaped.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            parts.push(match c {
                '*' => Part::Any,
                '?' => Part::One,
                '\\' => match chars.next() {
                    Some(c @ ('*' | '?' | '\\' | '}' | '/')) => Part::Exactly(c),
                    other => return Err(other.map(String::from).unwrap_or_default()),
                },
                c => Part::Exactly(c),
            });
        }
        Ok(Self(parts))
    }

    /// `value` without the shortest or longest beginning that matches.
    pub(crate) fn trim_start(&self, value: &str, longest: bool) -> String {
        let chars: Vec<char> = value.chars().collect();
        match self.prefix(&chars, longest) {
            Some(length) => chars[length..].iter().collect(),
            None => value.to_owned(),
        }
    }

    /// `value` without the shortest or longest end that matches.
    pub(crate) fn trim_end(&self, value: &str, longest: bool) -> String {
        let reversed = Self(self.0.iter().rev().copied().collect());
        let chars: Vec<char> = value.chars().rev().collect();
        match reversed.prefix(&chars, longest) {
            Some(length) => chars[length..].iter().rev().collect(),
            None => value.to_owned(),
        }
    }

    /// `value` with the first or every match, each as long as can be, replaced by `by`.
    pub(crate) fn replace(&self, value: &str, by: &str, all: bool) -> String {
        let chars: Vec<char> = value.chars().collect();
        let mut result = String::with_capacity(value.len());
        let mut at = 0;
        // An empty match right behind a match does not count.
        let mut behind_match = false;
        while at <= chars.len() {
            match self.prefix(&chars[at..], true) {
                Some(length) if length > 0 || !behind_match => {
                    result.push_str(by);
                    at += length;
                    if !all {
                        break;
                    }
                    behind_match = length > 0;
                    if length > 0 {
                        continue;
                    }
                }
                _ => behind_match = false,
            }
            let Some(c) = chars.get(at) else { break };
            result.push(*c);
            at += 1;
        }
        result.extend(chars.get(at..).unwrap_or_default());
        result
    }

    /// The length of the shortest or longest prefix of `chars` that matches.
    ///
    /// It walks all readings of the pattern at once, so its time is the product of the lengths,
    /// however many wildcards there are.
    fn prefix(&self, chars: &[char], longest: bool) -> Option<usize> {
        let mut states = vec![false; self.0.len() + 1];
        states[0] = true;
        self.skip_wildcards(&mut states);
        let mut found = None;
        let mut length = 0;
        loop {
            if states[self.0.len()] {
                found = Some(length);
                if !longest {
                    return found;
                }
            }
            let Some(c) = chars.get(length) else { return found };
            let mut next = vec![false; states.len()];
            for (index, part) in self.0.iter().enumerate() {
                if states[index] {
                    match part {
                        Part::Any if *c != '\n' => next[index] = true,
                        Part::One if *c != '\n' => next[index + 1] = true,
                        Part::Exactly(wanted) if wanted == c => next[index + 1] = true,
                        _ => {}
                    }
                }
            }
            self.skip_wildcards(&mut next);
            if !next.contains(&true) {
                return found;
            }
            states = next;
            length += 1;
        }
    }

    /// A `*` may match nothing.
    fn skip_wildcards(&self, states: &mut [bool]) {
        for (index, part) in self.0.iter().enumerate() {
            if states[index] && *part == Part::Any {
                states[index + 1] = true;
            }
        }
    }
}
