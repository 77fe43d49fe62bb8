import Papa from 'papaparse';

/**
 * The fields of one CSV record (RFC 4180): double quotes around fields with delimiters, quotes or line ends, a quote
 * written twice inside. In a field that does not start with a quote, quotes stand for themselves (12" ruler), as
 * Python's csv module and pandas read them.
 *
 * @throws when a quoted field is not closed, or goes on behind its closing quote
 */
export function parseCsvRecord(record: string, delimiter = ','): string[] {
  const { data, errors } = Papa.parse<string[]>(record, { delimiter, newline: '\n' });
  const codes = errors.map(({ code }) => code);
  if (codes.includes('InvalidQuotes')) {
    throw new Error('text follows a closing double quote; write a quote within a quoted field twice ("")');
  }
  if (codes.includes('MissingQuotes')) throw new Error('a double quote is never closed');
  if (errors.length > 0) throw new Error(errors[0]!.message);
  if (data.length > 1) throw new Error('a line end stands outside of quotes');
  return data[0] ?? [''];
}
