//! The fields that a call asks for: `id,candidate(id,name),notes[10](id),jobOrder.id`.

/// One field, and what is asked for of what it leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) name: String,
    /// How many of a list.
    pub(super) count: Option<usize>,
    pub(super) within: Vec<Asked>,
}

/// Reads a list of fields; `None` if its parentheses do not fit.
pub(super) fn parse_fields(text: &str) -> Option<Vec<Asked>> {
    let mut signs = text.chars().peekable();
    let fields = read_list(&mut signs)?;
    signs.next().is_none().then_some(fields)
}

type Signs<'a> = std::iter::Peekable<std::str::Chars<'a>>;

fn read_list(signs: &mut Signs<'_>) -> Option<Vec<Asked>> {
    let mut fields = Vec::new();
    loop {
        let field = read_one(signs)?;
        if !field.name.is_empty() {
            fields.push(field);
        }
        if signs.next_if_eq(&',').is_none() {
            return Some(fields);
        }
    }
}

fn read_one(signs: &mut Signs<'_>) -> Option<Asked> {
    let mut name = String::new();
    while let Some(sign) = signs.next_if(|sign| !",()[]".contains(*sign)) {
        name.push(sign);
    }
    let mut count = None;
    if signs.next_if_eq(&'[').is_some() {
        let mut digits = String::new();
        while let Some(sign) = signs.next_if(char::is_ascii_digit) {
            digits.push(sign);
        }
        count = Some(digits.parse().ok()?);
        signs.next_if_eq(&']')?;
    }
    let mut within = Vec::new();
    if signs.next_if_eq(&'(').is_some() {
        within = read_list(signs)?;
        signs.next_if_eq(&')')?;
    }
    let name = name.trim();
    Some(match name.split_once('.') {
        Some((first, rest)) => Asked {
            name: first.to_owned(),
            count: None,
            within: vec![Asked {
                name: rest.to_owned(),
                count,
                within,
            }],
        },
        None => Asked {
            name: name.to_owned(),
            count,
            within,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_with_what_stands_within() {
        let fields =
            parse_fields("id,candidate(id,name),notes[10](id),jobOrder.id").expect("fields");
        let told: Vec<String> = fields
            .iter()
            .map(|field| format!("{} {:?} {}", field.name, field.count, field.within.len()))
            .collect();
        assert_eq!(
            told,
            [
                "id None 0",
                "candidate None 2",
                "notes Some(10) 1",
                "jobOrder None 1"
            ]
        );
        assert_eq!(parse_fields("id,candidate(id"), None);
        assert_eq!(parse_fields("id)"), None);
    }
}
