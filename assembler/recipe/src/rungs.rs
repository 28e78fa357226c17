//! The ladder from a seed to a compiler: what rungs.toml says of each rung.

use crate::{
    Diagnostic, Diagnostics, Document, Spanned,
    package::is_name,
    toml_reader::{self, Sink, Table},
};

/// What one rungs.toml says. It holds no result: sizes, digests and times are measured.
///
/// ```toml
/// seed = "seed/hex0"             # checked in as bytes; paths begin at the folder of rungs.toml
///
/// [[rung]]
/// name = "hex1"
/// by = "hex0"                    # a rung above; the first is built by itself, the seed
/// stage = "hex1"                 # the stage of the Containerfile that builds it
/// file = "/bin/hex1"             # what is built, in that stage
/// sources = ["hex1/hex1.hex0"]   # files, or folders with all that is in them
/// about = "The same, with named labels."
/// reaches = "labels"             # a milestone, whose lines and time are summed up
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ladder {
    /// The text it was read from.
    pub document: Document,
    /// The seed, relative to the folder of rungs.toml.
    pub seed: String,
    /// The rungs, each after what it is built by.
    pub rungs: Vec<Rung>,
}

/// One rung.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rung {
    /// Its name.
    pub name: Spanned<String>,
    /// The rung that builds it.
    pub by: Spanned<String>,
    /// The stage in which it is built.
    pub stage: Spanned<String>,
    /// Where it lies then.
    pub file: Spanned<String>,
    /// What of this tree it is built from, beyond what the rungs before it are: files and
    /// folders, relative to the folder of rungs.toml.
    pub sources: Vec<Spanned<String>>,
    /// What it is, for people.
    pub about: String,
    /// What is reached with it.
    pub reaches: Option<String>,
}

impl Ladder {
    /// Reads a rungs.toml, or says all that is wrong with it.
    pub fn parse(document: &Document) -> Result<Self, Diagnostics> {
        let sink = Sink::new(document);
        let root = toml_reader::parse(document, &sink);
        let ladder = root.and_then(|root| read(&sink, &Table::root(&sink, &root)));
        sink.finish(ladder)
    }

    /// The rung of this name, or an error that says which was perhaps meant.
    pub fn find(&self, name: &str) -> Result<&Rung, Diagnostic> {
        let names = || self.rungs.iter().map(|rung| &rung.name.value[..]);
        self.rungs.iter().find(|rung| rung.name.value == name).ok_or_else(|| {
            Diagnostic::error(format!("there is no rung {name}"))
                .with_help(format!("the rungs are {}", names().collect::<Vec<_>>().join(", ")))
                .with_nearest(name, names())
        })
    }
}

fn read(sink: &Sink<'_>, root: &Table<'_>) -> Option<Ladder> {
    let seed = root.required("seed", "name the seed's file, such as \"seed/hex0\"");
    if let Some(seed) = seed.as_ref().filter(|seed| !is_inside(seed)) {
        sink.error(seed.span, format!("`{}` is no path below this folder", seed.value));
    }
    let tables = root.tables("rung");
    if tables.is_empty() {
        root.missing("rung", "describe the rungs, each in a [[rung]]");
    }
    root.finish();
    let mut rungs: Vec<Rung> = Vec::new();
    for table in &tables {
        let Some(rung) = read_rung(sink, table) else { continue };
        if rungs.iter().any(|other| other.name.value == rung.name.value) {
            let text = format!("there is a rung `{}` above", rung.name.value);
            sink.error(rung.name.span, text);
        }
        let known = || rungs.iter().map(|rung| &rung.name.value[..]);
        let by_itself = rungs.is_empty() && rung.by.value == rung.name.value;
        if !by_itself && !known().any(|name| name == rung.by.value) {
            let text = format!("no rung above is called `{}`", rung.by.value);
            let error = sink.document.error(rung.by.span, text);
            sink.add(error.with_nearest(&rung.by.value, known()));
        }
        rungs.push(rung);
    }
    Some(Ladder { document: sink.document.clone(), seed: seed?.value, rungs })
}

fn read_rung(sink: &Sink<'_>, table: &Table<'_>) -> Option<Rung> {
    let name = table.required("name", "give the rung a name");
    let by = table.required("by", "name the rung that builds it");
    let stage = table.required("stage", "name the stage of the Containerfile that builds it");
    let file = table.required("file", "say where it lies in that stage, such as \"/bin/cc1\"");
    let about = table.required("about", "say what it is");
    let sources = table.strings("sources");
    let reaches = table.string("reaches");
    table.finish();
    if let Some(name) = name.as_ref().filter(|name| !is_name(name)) {
        sink.error(name.span, format!("`{}` cannot name a rung", name.value));
    }
    if let Some(file) = file.as_ref().filter(|file| !file.value.starts_with('/')) {
        sink.error(file.span, "a file of a stage is named from its root: begin it with /");
    }
    for source in sources.iter().filter(|source| !is_inside(source)) {
        sink.error(source.span, format!("`{}` is no path below this folder", source.value));
    }
    Some(Rung {
        name: name?,
        by: by?,
        stage: stage?,
        file: file?,
        sources,
        about: about?.value,
        reaches: reaches.map(|text| text.value),
    })
}

fn is_inside(path: &str) -> bool {
    path.split('/').all(|part| !matches!(part, "" | "." | ".."))
        && !path.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "seed = \"seed/a\"\n[[rung]]\nname = \"a\"\nby = \"a\"\nstage = \"a\"\n\
        file = \"/bin/a\"\nsources = [\"seed/a.txt\"]\nabout = \"The seed.\"\n\
        [[rung]]\nname = \"bee\"\nby = \"a\"\nstage = \"s\"\nfile = \"/bin/b\"\nabout = \"More.\"\n\
        reaches = \"the top\"\n";

    fn parse(text: &str) -> Result<Ladder, String> {
        let document = Document::new("rungs.toml", text);
        Ladder::parse(&document).map_err(|errors| errors.to_string())
    }

    #[test]
    fn reads_rungs_in_order() {
        let ladder = parse(GOOD).unwrap();
        assert_eq!(ladder.seed, "seed/a");
        let names: Vec<&str> = ladder.rungs.iter().map(|rung| &rung.name.value[..]).collect();
        assert_eq!(names, ["a", "bee"]);
        assert_eq!(ladder.rungs[1].by.value, "a");
        assert_eq!(ladder.rungs[1].reaches.as_deref(), Some("the top"));
        assert!(ladder.find("bee").is_ok());
    }

    #[test]
    fn an_unknown_rung_names_the_nearest() {
        let ladder = parse(GOOD).unwrap();
        let text = ladder.find("beee").unwrap_err().to_string();
        assert!(text.contains("there is no rung beee") && text.contains("`bee`"), "{text}");
        let text = ladder.find("quite different").unwrap_err().to_string();
        assert!(text.contains("the rungs are a, bee"), "{text}");
    }

    #[test]
    fn says_what_is_wrong() {
        for (from, to, wanted) in [
            (
                "by = \"a\"\nstage = \"s\"",
                "by = \"c\"\nstage = \"s\"",
                "no rung above is called `c`",
            ),
            ("name = \"bee\"", "name = \"a\"", "there is a rung `a` above"),
            ("name = \"bee\"", "name = \"b e\"", "cannot name a rung"),
            ("file = \"/bin/b\"", "file = \"bin/b\"", "begin it with /"),
            ("seed/a.txt", "../a.txt", "is no path below this folder"),
            ("seed = \"seed/a\"\n", "", "has no `seed`"),
            ("about = \"More.\"", "abuot = \"More.\"", "did you mean `about`?"),
        ] {
            let text = GOOD.replacen(from, to, 1);
            assert_ne!(text, GOOD, "{from}");
            let found = parse(&text).unwrap_err();
            assert!(found.contains(wanted), "{wanted:?} is not in\n{found}");
        }
        assert!(parse("seed = \"a\"\n").unwrap_err().contains("[[rung]]"));
    }
}
