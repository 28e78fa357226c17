//! Dates of formats that do not count seconds.

/// A moment in the Gregorian calendar, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Civil {
    pub(crate) year: i64,
    /// 1 to 12.
    pub(crate) month: u8,
    /// 1 to 31.
    pub(crate) day: u8,
    pub(crate) hour: u8,
    pub(crate) minute: u8,
    pub(crate) second: u8,
}

impl Civil {
    /// The moment `seconds` after 1970-01-01T00:00:00Z; total over all of `i64`.
    pub(crate) fn new(seconds: i64) -> Self {
        let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        // Years counted from 0000-03-01, so that a leap day ends its year; 400 years are an era.
        let days = days + 719_468;
        let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year + year / 4 - year / 100);
        let month = (5 * of_year + 2) / 153;
        let day = of_year - (153 * month + 2) / 5 + 1;
        let month = if month < 10 { month + 3 } else { month - 9 };
        let byte = |value: i64| value as u8;
        Self {
            year: year + era * 400 + i64::from(month <= 2),
            month: byte(month),
            day: byte(day),
            hour: byte(rest / 3600),
            minute: byte(rest / 60 % 60),
            second: byte(rest % 60),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments() {
        let shown = |seconds| {
            let c = Civil::new(seconds);
            format!("{}-{}-{} {}:{}:{}", c.year, c.month, c.day, c.hour, c.minute, c.second)
        };
        assert_eq!(shown(0), "1970-1-1 0:0:0");
        assert_eq!(shown(1_700_000_000), "2023-11-14 22:13:20");
        assert_eq!(shown(951_782_399), "2000-2-28 23:59:59");
        assert_eq!(shown(951_782_400), "2000-2-29 0:0:0");
        assert_eq!(shown(4_107_542_400), "2100-3-1 0:0:0");
        assert_eq!(shown(-1), "1969-12-31 23:59:59");
        assert_eq!(shown(-2_208_988_800), "1900-1-1 0:0:0");
        // The ends of the range do not overflow.
        assert!(Civil::new(i64::MAX).year > 292_000_000_000);
        assert!(Civil::new(i64::MIN).year < -292_000_000_000);
    }
}
