/** The same suite with every scene of its series. */
import './accuracy.test';
