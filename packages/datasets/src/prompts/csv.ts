/**
 * The fields of one CSV record (RFC 4180): double quotes around fields with commas, quotes or line ends, a
 * quote written twice inside.
 */
export function parseCsvRecord(record: string): string[] {
  const fields: string[] = [];
  let at = 0;
  for (;;) {
    let field = '';
    if (record[at] === '"') {
      at++;
      for (;;) {
        const end = record.indexOf('"', at);
        if (end < 0) throw new Error('a double quote is never closed');
        field += record.slice(at, end);
        at = end + 1;
        if (record[at] !== '"') break;
        field += '"';
        at++;
      }
      if (at < record.length && record[at] !== ',') throw new Error('text follows a closing double quote');
    } else {
      const end = record.indexOf(',', at);
      field = end < 0 ? record.slice(at) : record.slice(at, end);
      at = end < 0 ? record.length : end;
    }
    fields.push(field);
    if (at >= record.length) return fields;
    at++; // the comma
    if (at === record.length) return [...fields, ''];
  }
}
