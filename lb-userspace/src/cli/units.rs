//! Numbers for people: bytes, rates, durations. `--json` never uses these.

use std::time::Duration;

/// Bytes in binary units, as sizes are given: `1.5 MiB`.
pub(super) fn bytes(count: u64) -> String {
    scaled(
        count,
        1024,
        &["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"],
    )
}

/// Bits per second in decimal units, as lines are rated: `9.4 Gbit/s`.
pub(super) fn bits_rate(bytes_per_second: f64) -> String {
    scaled(
        whole(bytes_per_second * 8.0),
        1000,
        &["bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s"],
    )
}

/// Things per second: `950/s`, `1.2 M/s`.
pub(super) fn rate(per_second: f64) -> String {
    if per_second > 0.0 && per_second < 10.0 {
        return format!("{per_second:.1}/s");
    }
    format!(
        "{}/s",
        scaled(whole(per_second), 1000, &["", "k", "M", "G"]).trim_end()
    )
}

/// A number with its thousands apart: `1,234,567`.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A duration by its two largest units: `2d 3h`, `1m 5s`, `40s`.
pub(super) fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let parts = [
        (seconds / 86_400, "d"),
        (seconds / 3_600 % 24, "h"),
        (seconds / 60 % 60, "m"),
        (seconds % 60, "s"),
    ];
    let largest = parts
        .iter()
        .position(|&(number, _)| number > 0)
        .unwrap_or(3);
    let shown = parts
        .iter()
        .skip(largest)
        .take(2)
        .filter(|&&(number, _)| number > 0);
    let text = shown
        .map(|(number, unit)| format!("{number}{unit}"))
        .collect::<Vec<_>>()
        .join(" ");
    if text.is_empty() {
        "0s".to_owned()
    } else {
        text
    }
}

/// Reads a duration: `10m`, `1h30m`, `500ms`. Units are ms, s, m, h, d and w; it must be above 0.
pub(super) fn parse_span(text: &str) -> Result<Duration, String> {
    let usage = || format!("`{text}` is no duration: write it like 30s, 10m, 1h30m or 2d");
    let mut rest = text.trim();
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(usage)?;
        let (number, after) = rest.split_at(digits);
        let number: u64 = number.parse().map_err(|_| usage())?;
        let letters = after
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        let unit_ms: u64 = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "w" => 604_800_000,
            _ => return Err(usage()),
        };
        let part = number
            .checked_mul(unit_ms)
            .map(Duration::from_millis)
            .ok_or_else(usage)?;
        total = total.checked_add(part).ok_or_else(usage)?;
        rest = after.trim_start();
    }
    if total.is_zero() {
        Err(usage())
    } else {
        Ok(total)
    }
}

/// One decimal and a unit, never `1024.0 KiB`; what needs no unit is given exactly.
fn scaled(number: u64, step: u32, units: &[&str]) -> String {
    let mut divisor = 1_u128;
    for (index, unit) in units.iter().enumerate() {
        // Tenths, rounded half up, in integers: exact for every u64.
        let tenths = (u128::from(number) * 10 + divisor / 2) / divisor;
        if tenths < u128::from(step) * 10 || index + 1 == units.len() {
            return match index {
                0 => format!("{number} {unit}"),
                _ => format!("{}.{} {unit}", tenths / 10, tenths % 10),
            };
        }
        divisor *= u128::from(step);
    }
    number.to_string()
}

/// The nearest whole number; 0 for what is negative or no number.
fn whole(value: f64) -> u64 {
    #[expect(
        clippy::cast_sign_loss,
        reason = "the cast saturates: negative and NaN become 0"
    )]
    let rounded = value.round() as u64;
    rounded
}

#[cfg(test)]
mod tests {
    #![expect(clippy::expect_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn sizes_have_one_decimal_and_never_a_thousand_of_a_unit() {
        for (number, text) in [
            (0, "0 B"),
            (1_023, "1023 B"),
            (1_024, "1.0 KiB"),
            (1_587, "1.5 KiB"),
            (1_048_524, "1023.9 KiB"),
            (1_048_525, "1.0 MiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(bytes(number), text);
        }
    }

    #[test]
    fn rates_are_decimal() {
        for (number, text) in [
            (0.0, "0/s"),
            (0.25, "0.2/s"),
            (9.5, "9.5/s"),
            (10.4, "10/s"),
            (999.4, "999/s"),
            (1_500.0, "1.5 k/s"),
            (999_960.0, "1.0 M/s"),
            (f64::NAN, "0/s"),
            (-5.0, "0/s"),
        ] {
            assert_eq!(rate(number), text);
        }
        assert_eq!(bits_rate(0.0), "0 bit/s");
        assert_eq!(bits_rate(125_000_000.0), "1.0 Gbit/s");
        assert_eq!(bits_rate(f64::INFINITY), "18446744.1 Tbit/s");
    }

    #[test]
    fn counts_have_their_thousands_apart() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (12_345_678, "12,345,678"),
        ] {
            assert_eq!(count(number), text);
        }
    }

    #[test]
    fn spans_show_two_units_at_most() {
        for (seconds, text) in [
            (0, "0s"),
            (59, "59s"),
            (60, "1m"),
            (3_725, "1h 2m"),
            (3_605, "1h"),
            (90_061, "1d 1h"),
        ] {
            assert_eq!(span(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn durations_are_read_with_their_units_only() {
        for (text, ms) in [
            ("500ms", 500),
            ("30s", 30_000),
            ("10m", 600_000),
            ("1h30m", 5_400_000),
            ("1d 2h", 93_600_000),
            ("2w", 1_209_600_000),
        ] {
            assert_eq!(parse_span(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for text in [
            "",
            "10",
            "m",
            "1x",
            "-1s",
            "0s",
            "1.5h",
            "99999999999999999999s",
            "s10",
        ] {
            let error = parse_span(text).expect_err(text);
            assert!(
                error.ends_with("write it like 30s, 10m, 1h30m or 2d"),
                "{error}"
            );
        }
        let most = format!("{}ms", u64::MAX);
        assert_eq!(parse_span(&most), Ok(Duration::from_millis(u64::MAX)));
        assert!(parse_span(&format!("{}w", u64::MAX)).is_err());
    }
}
