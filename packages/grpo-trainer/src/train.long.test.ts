/** The same suite with the other seeds of its series. */
import './train.test';
