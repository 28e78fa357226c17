//! Finds the machine's own Debian mirror.

/// The base addresses of Debian archives that apt's source lists name, in order and once each.
///
/// Takes the texts of `/etc/apt/sources.list` and of the files in `/etc/apt/sources.list.d`: the
/// one-line form (`deb [options] URI suite component…`) and deb822 (`URIs:`), as
/// sources.list(5) has them. An archive of security updates is left out, as its pool is another.
pub fn debian_mirrors<'a>(texts: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut found = Vec::new();
    let mut add = |uri: &str| {
        let uri = uri.trim_end_matches('/');
        let usable = ["http://", "https://", "file:"].iter().any(|p| uri.starts_with(p));
        let is_debian = uri.ends_with("/debian") || uri.contains("/debian/");
        if usable && is_debian && !found.iter().any(|known| known == uri) {
            found.push(uri.to_owned());
        }
    };
    for text in texts {
        for stanza in text.split("\n\n") {
            let enabled = !stanza.lines().any(|line| {
                line.split_once(':').is_some_and(|(key, value)| {
                    key.eq_ignore_ascii_case("enabled") && value.trim().eq_ignore_ascii_case("no")
                })
            });
            for line in stanza.lines() {
                let line = line.trim();
                if let Some(rest) = one_line_entry(line) {
                    add(rest);
                } else if enabled {
                    match line.split_once(':') {
                        Some((key, uris)) if key.eq_ignore_ascii_case("uris") => {
                            uris.split_whitespace().for_each(&mut add);
                        }
                        _ => {}
                    }
                }
            }
        }
    }
    found
}

/// The URI of a line `deb [options] URI suite…`.
fn one_line_entry(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("deb").map(|rest| rest.strip_prefix("-src").unwrap_or(rest))?;
    let rest = rest.strip_prefix([' ', '\t'])?.trim_start();
    let rest = match rest.strip_prefix('[') {
        Some(options) => options.split_once(']')?.1,
        None => rest,
    };
    rest.split_whitespace().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_both_forms() {
        let deb822 = "# comment\nTypes: deb\nURIs: http://m.example/debian http://n.example/debian/\n\
                      Suites: stable\n\nTypes: deb\nURIs: http://m.example/debian-security\n\n\
                      Enabled: no\nURIs: http://off.example/debian\n";
        let lines = "deb [arch=amd64 signed-by=/k] http://o.example/debian stable main\n\
                     # deb http://p.example/debian stable main\n\
                     deb-src http://m.example/debian stable main\n\
                     deb http://q.example/ubuntu stable main\n";
        assert_eq!(
            debian_mirrors([deb822, lines]),
            ["http://m.example/debian", "http://n.example/debian", "http://o.example/debian"]
        );
        assert!(debian_mirrors(["debian", "deb", "deb [", "\u{0}"]).is_empty());
    }
}
