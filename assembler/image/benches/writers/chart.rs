//! The chart: a bar for each tool, as long as the logarithm of how many times our CPU time it took.

use crate::measure::Row;

const WIDTH: f64 = 900.0;
/// Where bars begin that are as long as ours.
const LEFT: f64 = 380.0;
const LINE: f64 = 22.0;
const TOP: f64 = 56.0;
/// Units of the picture for each tenfold.
const DECADE: f64 = 230.0;

/// The chart as an SVG picture.
pub fn svg(rows: &[Row]) -> String {
    let rows: Vec<&Row> = rows.iter().filter(|row| !row.is_ours()).collect();
    let height = TOP + LINE * rows.len() as f64 + 12.0;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"white\"/>\n\
         <text x=\"12\" y=\"22\" font-size=\"16\">CPU time of other tools, in times of stagex's \
         (logarithmic)</text>\n"
    );
    for (times, label) in [(0.1, "1/10"), (1.0, "as much"), (10.0, "10 times"), (100.0, "100")] {
        let x = place(times);
        out += &format!(
            "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"46\" y2=\"{height}\" stroke=\"#ccc\"/>\n\
             <text x=\"{x:.1}\" y=\"42\" text-anchor=\"middle\" fill=\"#555\">{label}</text>\n"
        );
    }
    for (number, row) in rows.iter().enumerate() {
        let y = TOP + LINE * number as f64;
        let (one, end) = (place(1.0), place(row.cpu()));
        let (x, width) = (one.min(end), (end - one).abs().max(1.0));
        let (least, most) = row.cpu_ends();
        let color = match (row.is_image(), row.cpu() < 1.0) {
            (false, _) => "#999",
            (true, false) => "#3a7ca5",
            (true, true) => "#c1440e",
        };
        let middle = y + LINE / 2.0 - 2.0;
        out += &format!(
            "<text x=\"12\" y=\"{:.1}\">{}</text>\n\
             <rect x=\"{x:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"{:.1}\" \
             fill=\"{color}\"/>\n\
             <line x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{middle:.1}\" y2=\"{middle:.1}\" \
             stroke=\"black\"/>\n\
             <text x=\"{:.1}\" y=\"{:.1}\">{:.1}</text>\n",
            y + LINE - 8.0,
            escaped(&row.title()),
            y + 1.0,
            LINE - 6.0,
            place(least),
            place(most),
            place(most).max(one) + 6.0,
            y + LINE - 8.0,
            row.cpu(),
        );
    }
    out + "</svg>\n"
}

fn place(times: f64) -> f64 {
    (LEFT + DECADE * (times.max(0.05).log10() + 1.0) * 0.75).min(WIDTH - 50.0)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
