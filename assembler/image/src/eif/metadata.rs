//! What an enclave image says of itself.

use serde_json::Value;

use crate::time::Civil;

use super::Error;

/// The most that AWS's tools take, in bytes.
const CUSTOM_MAX: usize = 4096;

/// The metadata section. None of it is measured.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Metadata {
    /// The image's name.
    pub name: String,
    /// The image's version.
    pub version: String,
    /// When it was built, in seconds since 1970: the source's date, not the clock's.
    pub build_time: i64,
    /// What built it.
    pub build_tool: String,
    /// The version of what built it.
    pub build_tool_version: String,
    /// The operating system in it, such as `Linux`.
    pub operating_system: String,
    /// The kernel's release.
    pub kernel_version: String,
    /// Anything else: JSON text of at most 4096 bytes.
    pub custom: Option<String>,
}

impl Metadata {
    /// The section's bytes: compact JSON, its fields in the order that AWS's tool writes them.
    ///
    /// In custom metadata the keys of objects are sorted.
    pub(super) fn to_json(&self) -> Result<String, Error> {
        let custom = match &self.custom {
            None => "null".to_owned(),
            Some(text) if text.len() > CUSTOM_MAX => {
                return Err(Error::CustomMetadataTooLarge { len: text.len(), max: CUSTOM_MAX });
            }
            Some(text) => {
                let value: Value = serde_json::from_str(text)
                    .map_err(|source| Error::CustomMetadata { source })?;
                let mut out = String::new();
                sorted(&value, &mut out);
                out
            }
        };
        let text = |text: &str| Value::from(text).to_string();
        Ok(format!(
            "{{\"ImageName\":{},\"ImageVersion\":{},\"BuildMetadata\":{{\"BuildTime\":{},\
             \"BuildTool\":{},\"BuildToolVersion\":{},\"OperatingSystem\":{},\
             \"KernelVersion\":{}}},\"DockerInfo\":null,\"CustomMetadata\":{custom}}}",
            text(&self.name),
            text(&self.version),
            text(&rfc3339(self.build_time)?),
            text(&self.build_tool),
            text(&self.build_tool_version),
            text(&self.operating_system),
            text(&self.kernel_version),
        ))
    }
}

/// Writes `value` with sorted keys, whichever order serde_json was compiled to keep them in.
fn sorted(value: &Value, out: &mut String) {
    match value {
        Value::Array(values) => {
            for (number, value) in values.iter().enumerate() {
                out.push(if number == 0 { '[' } else { ',' });
                sorted(value, out);
            }
            out.push_str(if values.is_empty() { "[]" } else { "]" });
        }
        Value::Object(map) => {
            let mut pairs: Vec<_> = map.iter().collect();
            pairs.sort_by_key(|&(key, _)| key);
            for (number, (key, value)) in pairs.iter().enumerate() {
                out.push(if number == 0 { '{' } else { ',' });
                out.push_str(&Value::from(key.as_str()).to_string());
                out.push(':');
                sorted(value, out);
            }
            out.push_str(if pairs.is_empty() { "{}" } else { "}" });
        }
        plain => out.push_str(&plain.to_string()),
    }
}

fn rfc3339(seconds: i64) -> Result<String, Error> {
    let Civil { year, month, day, hour, minute, second } = Civil::new(seconds);
    if !(0..=9999).contains(&year) {
        return Err(Error::BuildTime { seconds });
    }
    Ok(format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}+00:00"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_sorted_and_texts_escaped() {
        let metadata = Metadata {
            name: "a\"b\n".to_owned(),
            build_time: 1_700_000_000,
            custom: Some(" {\"z\": [1, 2.5, {}, []], \"a\": {\"é\": null}}".to_owned()),
            ..Metadata::default()
        };
        assert_eq!(
            metadata.to_json().unwrap(),
            r#"{"ImageName":"a\"b\n","ImageVersion":"","BuildMetadata":{"BuildTime":"2023-11-14T22:13:20+00:00","BuildTool":"","BuildToolVersion":"","OperatingSystem":"","KernelVersion":""},"DockerInfo":null,"CustomMetadata":{"a":{"é":null},"z":[1,2.5,{},[]]}}"#
        );
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let with = |custom: &str| {
            Metadata { custom: Some(custom.to_owned()), ..Metadata::default() }.to_json()
        };
        assert!(matches!(with("{"), Err(Error::CustomMetadata { .. })));
        assert!(matches!(
            with(&" ".repeat(4097)),
            Err(Error::CustomMetadataTooLarge { len: 4097, .. })
        ));
        for build_time in [i64::MIN, i64::MAX, 253_402_300_800] {
            let metadata = Metadata { build_time, ..Metadata::default() };
            assert!(matches!(metadata.to_json(), Err(Error::BuildTime { .. })));
        }
    }
}
