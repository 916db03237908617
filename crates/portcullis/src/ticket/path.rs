/// Returns whether the pattern covers the path: the same path, or `/*` at its end.
pub(super) fn covers(pattern: &str, path: &str) -> bool {
    let Some(above) = pattern.strip_suffix('*').filter(|it| it.ends_with('/')) else {
        return pattern == path;
    };
    path.strip_prefix(above)
        .is_some_and(|below| !below.is_empty() && !has_dots(below))
}

/// Returns whether a proxy that removes dot segments would change the path.
fn has_dots(path: &str) -> bool {
    let path = path.to_ascii_lowercase();
    let path = path.replace("%2e", ".").replace("%2f", "/");
    path.split('/').any(|segment| matches!(segment, "." | ".."))
}

#[cfg(test)]
mod tests {
    use super::covers;

    #[test]
    fn pattern_covers_the_paths_below_it() {
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
