//! Placeholders: `{version}` and its like.

/// What placeholders stand for.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Values<'a> {
    pub(super) version: Option<&'a str>,
    pub(super) format: Option<&'a str>,
    pub(super) file: Option<&'a str>,
}

/// The placeholders there are, in the order that help names them.
pub(super) const NAMES: [&str; 8] = [
    "version",
    "version_major",
    "version_major_minor",
    "version_dash",
    "version_under",
    "version_strip_suffix",
    "format",
    "file",
];

/// Why a template does not expand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TemplateError {
    /// There is no such placeholder.
    Unknown(String),
    /// There is, but nothing that it could stand for here.
    Unset(String),
    /// A brace without its partner.
    Brace,
}

/// Replaces placeholders; `{{` and `}}` stand for single braces.
pub(super) fn expand(template: &str, values: Values<'_>) -> Result<String, TemplateError> {
    let mut text = String::new();
    let mut rest = template;
    while let Some(at) = rest.find(['{', '}']) {
        text.push_str(&rest[..at]);
        let brace = &rest[at..at + 1];
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix(brace) {
            text.push_str(brace);
            rest = after;
            continue;
        }
        let (name, after) = match (brace, rest.split_once('}')) {
            ("{", Some(parts)) => parts,
            _ => return Err(TemplateError::Brace),
        };
        rest = after;
        if !NAMES.contains(&name) {
            return Err(TemplateError::Unknown(name.to_owned()));
        }
        let value = match name {
            "format" => values.format.map(str::to_owned),
            "file" => values.file.map(str::to_owned),
            _ => values.version.map(|version| derive(version, name)),
        };
        text.push_str(&value.ok_or_else(|| TemplateError::Unset(name.to_owned()))?);
    }
    text.push_str(rest);
    Ok(text)
}

/// A version in the form that a placeholder names.
pub(super) fn derive(version: &str, form: &str) -> String {
    match form {
        "version_major" => version.split('.').next().unwrap_or_default().to_owned(),
        "version_major_minor" => version.splitn(3, '.').take(2).collect::<Vec<_>>().join("."),
        "version_dash" => version.replace('.', "-"),
        "version_under" => version.replace('.', "_"),
        "version_strip_suffix" => version.split('-').next().unwrap_or_default().to_owned(),
        _ => version.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values() -> Values<'static> {
        Values { version: Some("1.20.3-rc.1"), format: Some("tar.xz"), file: None }
    }

    #[test]
    fn every_placeholder_has_its_form() {
        for (template, text) in [
            ("a-{version}.{format}", "a-1.20.3-rc.1.tar.xz"),
            ("{version_major}", "1"),
            ("{version_major_minor}", "1.20"),
            ("{version_dash}", "1-20-3-rc-1"),
            ("{version_under}", "1_20_3-rc_1"),
            ("{version_strip_suffix}", "1.20.3"),
            ("{{version}} }}{{", "{version} }{"),
            ("", ""),
        ] {
            assert_eq!(expand(template, values()), Ok(text.to_owned()), "{template}");
        }
    }

    #[test]
    fn short_versions_have_what_parts_there_are() {
        assert_eq!(derive("7", "version_major_minor"), "7");
        assert_eq!(derive("7", "version_major"), "7");
        assert_eq!(derive("", "version_under"), "");
    }

    #[test]
    fn broken_templates_say_what_is_wrong() {
        assert_eq!(
            expand("{verison}", values()),
            Err(TemplateError::Unknown("verison".to_owned()))
        );
        assert_eq!(expand("{file}", values()), Err(TemplateError::Unset("file".to_owned())));
        for broken in ["{", "}", "{version", "a}b", "{version}}"] {
            assert_eq!(expand(broken, values()), Err(TemplateError::Brace), "{broken}");
        }
    }
}
