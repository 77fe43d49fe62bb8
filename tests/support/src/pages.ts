/** A page or a text without what data URLs hold: base64 contains every short word sooner or later. */
export const withoutData = (page: string): string => page.replace(/(data:[\w/+.;=-]*,)[\w+/=%.-]*/g, '$1');
