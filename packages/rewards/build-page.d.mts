/** The page's script and style sheet, each as one text. */
export function buildPage(): Promise<{ script: string; style: string }>;
