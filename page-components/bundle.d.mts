/** The script and the style sheet of the page whose first module is `entry`, each as one text. */
export function bundlePage(entry: string): Promise<{ script: string; style: string }>;
