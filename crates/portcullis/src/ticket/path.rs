/// Whether a path is one that tickets are for.
pub(super) fn covers(pattern: &str, path: &str) -> bool {
    let Some(above) = pattern.strip_suffix('*').filter(|it| it.ends_with('/')) else {
        return pattern == path;
    };
    path.strip_prefix(above)
        .is_some_and(|below| !below.is_empty() && !has_dots(below))
}

/// Whether a proxy that resolves `.` and `..` would make another path of it.
fn has_dots(path: &str) -> bool {
    let path = path.to_ascii_lowercase();
    let path = path.replace("%2e", ".").replace("%2f", "/");
    path.split('/').any(|segment| matches!(segment, "." | ".."))
}

#[cfg(test)]
mod tests {
    use super::covers;

    #[test]
    fn a_pattern_covers_what_is_below_it() {
        let rows = [
            ("/ws", "/ws", true),
            ("/ws", "/ws/", false),
            ("/rooms/*", "/rooms/7", true),
            ("/rooms/*", "/rooms/7/ws", true),
            ("/rooms/*", "/rooms/a..b", true),
            ("/rooms/*", "/rooms", false),
            ("/rooms/*", "/rooms/", false),
            ("/rooms/*", "/roomsy/7", false),
            ("/rooms/*", "/rooms/../admin", false),
            ("/rooms/*", "/rooms/7/%2E%2e/admin", false),
            ("/rooms/*", "/rooms/7%2F..%2F..%2Fadmin", false),
            ("/rooms/*", "/rooms/./7", false),
            ("/rooms*", "/rooms7", false),
            ("/rooms*", "/rooms*", true),
        ];
        for (pattern, path, covered) in rows {
            assert_eq!(covers(pattern, path), covered, "{pattern} {path}");
        }
    }
}
